"""Training: from a data set to a domain model, in one process or over Ray's workers."""
