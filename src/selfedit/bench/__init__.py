"""Benchmarks that users can run, and the slow, plain references that they are measured against."""
