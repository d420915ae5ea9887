"""How learned documents are kept, and what the learning broke."""
