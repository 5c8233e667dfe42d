"""The Postgres role of BI tools, which may read the views and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from tastemaker.errors import TastemakerError
from tastemaker.storage.views import views

ROLE = "tastemaker_bi"
_RIGHTS = "LOGIN NOCREATEDB NOCREATEROLE"
"""What a user with CREATEROLE may set, in Postgres 15, too."""
_MORE_RIGHTS = text(
    """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg~_toast%' ESCAPE '~'
        AND NOT (
            n.nspname = :schema AND c.relname = ANY(:views)
            AND NOT has_table_privilege(:role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
        )
        AND CASE
            WHEN c.relkind = 'S' THEN has_sequence_privilege(:role, c.oid, 'USAGE, SELECT, UPDATE')
            WHEN c.relkind IN ('r', 'v', 'm', 'f', 'p') THEN
                has_table_privilege(
                    :role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
                ) OR has_any_column_privilege(:role, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
            ELSE false
        END
    UNION ALL
    SELECT format('CREATE in the schema %I', nspname) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg~_%' ESCAPE '~' AND has_schema_privilege(:role, oid, 'CREATE')
    UNION ALL
    SELECT format('the role %I', r.rolname) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE m.member = CAST(CAST(:role AS TEXT) AS regrole)
    UNION ALL
    SELECT unnest(array_remove(ARRAY[
        CASE WHEN rolsuper THEN 'SUPERUSER' END,
        CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END
    ], NULL)) FROM pg_roles WHERE rolname = :role
    ORDER BY 1
    """
)
"""What a role may do in this database besides reading the views."""


def grant_bi_role(engine: Engine, password: str | None) -> Sequence[str]:
    """Create the role, or restore its rights: it may read the views and nothing else.

    Args:
        engine: The metadata database, opened as the owner of its tables with the right to create roles.
        password: The role's password; None leaves it as it is, and a new role without one.

    Returns:
        The names of the views.

    Raises:
        TastemakerError: The database is not Postgres, the right to create roles is missing, or the role has
            more rights by another way. Nothing is changed then.
    """
    if engine.dialect.name != "postgresql":
        raise TastemakerError(
            "a SQLite file has no roles: who may read the file may read all of its tables",
            fix="move the metadata to Postgres (database_url), or open a copy of the file read-only",
        )
    try:
        with engine.begin() as connection:
            _create(connection, password)
            _grant(connection)
            _check(connection)
    except DBAPIError as error:
        raise TastemakerError(
            f"the role {ROLE} can't be made: {str(error.orig).strip()}",
            fix="run it as a user of the database that owns its tables and has CREATEROLE",
        ) from error
    return list(views.tables)


def _create(connection: Connection, password: str | None) -> None:
    exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": ROLE}).scalar()
    connection.execute(text(f"{'ALTER' if exists else 'CREATE'} ROLE {ROLE} {_RIGHTS}"))
    if password is not None:
        from psycopg2.extensions import encrypt_password

        # The server's log of statements would have the password itself.
        scope = connection.connection.dbapi_connection
        hashed = encrypt_password(password, ROLE, scope=scope, algorithm="scram-sha-256")
        connection.execute(text(f"ALTER ROLE {ROLE} PASSWORD :hashed"), {"hashed": hashed})


def _grant(connection: Connection) -> None:
    quote = connection.dialect.identifier_preparer.quote
    schema = quote(inspect(connection).default_schema_name or "public")
    database = quote(str(connection.execute(text("SELECT current_database()")).scalar_one()))
    for what in (f"ALL TABLES IN SCHEMA {schema}", f"ALL SEQUENCES IN SCHEMA {schema}", f"SCHEMA {schema}"):
        connection.execute(text(f"REVOKE ALL ON {what} FROM {ROLE}"))
    connection.execute(text(f"GRANT CONNECT ON DATABASE {database} TO {ROLE}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}"))
    for view in views.tables:
        connection.execute(text(f"GRANT SELECT ON {schema}.{view} TO {ROLE}"))


def _check(connection: Connection) -> None:
    schema = inspect(connection).default_schema_name
    given = {"role": ROLE, "schema": schema, "views": list(views.tables)}
    more = list(connection.execute(_MORE_RIGHTS, given).scalars())
    if more:
        raise TastemakerError(
            f"the role {ROLE} would have more than the views: {', '.join(more)}",
            fix="revoke these from PUBLIC, from the role and from the roles that it is a member of, and run "
            "this again",
        )
