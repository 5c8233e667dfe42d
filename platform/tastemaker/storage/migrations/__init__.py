"""The database's history, one file a step in `versions/`. A change to `storage.tables` needs a new step.

Steps are numbered in order and never edited once released: write `op` calls out, do not import the tables.
"""

HEAD = "0005"
"""The newest step, so that a database that is up to date is opened without Alembic."""
