"""The metadata database: tables, engine, migrations. Events and logs live in the lake, not here."""
