"""crossrec: one pre-trained language model, many recommendation domains.

Importing starts nothing and stays light: each verb's module is loaded when it is first used.
"""

from __future__ import annotations

__version__ = "0.1.0"
