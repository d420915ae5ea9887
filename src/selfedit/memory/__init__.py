"""How what was learned is kept, and what the learning broke."""
