"""What models learn: a domain is prompts, the reading of edits, questions and grades."""
