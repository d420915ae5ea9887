"""Evaluation: conditions compared on the same contexts, with intervals."""
