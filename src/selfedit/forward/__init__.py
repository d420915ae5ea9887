"""Forward passes over frozen weights: packed rows, attention, caches, products, device memory."""
