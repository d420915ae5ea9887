"""Evaluation: conditions against each other on the same contexts, with intervals that say how sure."""
