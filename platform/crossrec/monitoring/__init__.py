"""Watching a stream of texts: what they say of each topic over time, and when that is unusual."""
