"""Run by Alembic; vlsearch.catalog.migrate hands it an open connection."""

from alembic import context

from vlsearch.catalog.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
