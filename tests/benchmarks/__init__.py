"""Benchmarks: each is run as `python -m tests.benchmarks.<name>` and writes `results/<name>.json`."""
