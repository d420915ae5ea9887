"""Agents that learn from what happened: a conversation with feedback becomes a self-edit, is tried, and
changes the weights if it helps."""
