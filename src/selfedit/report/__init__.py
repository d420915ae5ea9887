"""Reports of runs: in the terminal, as plots, and as one HTML file."""
