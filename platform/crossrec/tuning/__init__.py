"""Search of a domain's best config: spaces, the search on Ray, the choice of the best."""
