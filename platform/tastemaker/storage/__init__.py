"""The metadata database: tables, engine, migrations. Events and logs are in the lake."""
