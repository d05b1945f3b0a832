"""Pages of the analysts' app and the few modules they share."""
