"""Data: bring it here, clean it, keep it as canonical tables, cut it into parts."""
