"""Migrations of the database, one file per step in `versions/`. Changes to `storage.tables` need a new step.

Steps are numbered in order and not edited after a release: write `op` calls, do not import the tables.
"""

HEAD = "0025"
"""The newest step: a database at this step is opened without Alembic."""
