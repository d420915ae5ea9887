"""A corpus of self-edits: what a policy writes about whole folders of documents, line by line."""
