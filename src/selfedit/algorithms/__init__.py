"""Scored trials to an improved policy, one algorithm a file."""
