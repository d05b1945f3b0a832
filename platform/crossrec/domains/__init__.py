"""Domains: one YAML each, and a reader beside it where the source is odd.

`spec` says what a domain's YAML may hold; `registry` finds and loads them.
"""

from crossrec.domains.registry import domain_names, load_domain
from crossrec.domains.spec import ContextField, Domain, Objective

__all__ = ["ContextField", "Domain", "Objective", "domain_names", "load_domain"]
