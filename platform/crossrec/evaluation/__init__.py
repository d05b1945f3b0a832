"""How good a ranking is: metrics, protocols, the published peers, and reports."""
