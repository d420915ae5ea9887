"""From scored groups to an improved policy, one algorithm per file."""
