"""Run by Alembic in the connection and transaction of its caller (`tastemaker.storage.engine`)."""

from alembic import context

from tastemaker.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
