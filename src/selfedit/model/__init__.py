"""Models: loading, prompting and sampling. What a model must offer is in `seams.Model`."""
