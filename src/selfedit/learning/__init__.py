"""Documents to memory: what `learn` does, and the library that keeps what was learned."""
