"""Immutable folders that hold all that one domain serves: published, verified, rolled back."""
