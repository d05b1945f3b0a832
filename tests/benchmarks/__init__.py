"""Benchmarks, each run as `python -m tests.benchmarks.<name>`; figures go to `results/`."""
