"""Alembic's entry: runs on the connection it is given, inside its transaction."""

from alembic import context

from bridge.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter columns in place
    transactional_ddl=False,  # the caller's transaction is the one
)
context.run_migrations()
