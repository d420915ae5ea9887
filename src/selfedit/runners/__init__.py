"""Where waves of trials run."""
