"""`selfedit serve`: one process that answers with any version of a model, and goes on learning."""
