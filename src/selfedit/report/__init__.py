"""What a run did, for people: in the terminal, as plots, and as one HTML file."""
