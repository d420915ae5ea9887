"""Models: how they are loaded, prompted and sampled from. What one must offer: `seams.Model`."""
