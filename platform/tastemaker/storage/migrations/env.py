"""Run by Alembic in the connection and transaction of whoever asks (`tastemaker.storage.engine`)."""

from alembic import context

from tastemaker.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
