"""How results look in a notebook: tables, charts, frames; each class is its plain result, shown.

Leaves to others: what is in a result (the rooms that make it), giving it to the user (verbs/).
"""
