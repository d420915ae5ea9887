"""Run by Alembic, inside the transaction that `database.migrate` opened."""

from alembic import context

from selfedit.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
