"""Measured side by side with what a user would pick instead: `make bench`, see docs/benchmarks.md."""
