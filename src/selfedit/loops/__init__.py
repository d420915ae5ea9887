"""The two loops, and what they are made of."""
