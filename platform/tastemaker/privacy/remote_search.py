"""Search for a user, and erasure, in servers: log database, metadata, online store, Elasticsearch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.privacy.search import Person, Searched
from tastemaker.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection


_LOG = '"log_records"'
_TERMS = 10_000
"""The most ids in one query of Elasticsearch, which allows 65,536."""


def search_servers(settings: Settings, person: Person, *, erase: bool = False) -> Iterator[Searched]:
    """Search every table of the databases that the settings name, every key of a Redis, and the copied log.

    Args:
        settings: Name the servers.
        person: The user.
        erase: Delete what is found in logs and online features; the results count what was there before.

    Yields:
        One result per table, Redis or table's indices.

    Raises:
        TastemakerError: A server does not answer.
    """
    urls = {settings.metadata_url}
    if settings.log.target == "postgres":
        urls.add(settings.log_url)
    if settings.online_store.type == "postgres" and settings.online_store.url:
        urls.add(settings.online_store.url)
    for url in sorted(url for url in urls if url.startswith("postgres")):
        yield from _in_postgres(url, person, erase=erase)
    if settings.online_store.type == "redis" and settings.online_store.url:
        yield _in_redis(settings.online_store.url, person, erase=erase)
    if settings.elasticsearch.url:
        yield from _in_elasticsearch(settings, person, erase=erase)


def request_ids(settings: Settings, person: Person) -> set[str]:
    """Return the ids of the user's requests in the log database.

    Args:
        settings: Name the log database; without one, there are no ids.
        person: The user; the ids of their requests need not be known yet.
    """
    if settings.log.target != "postgres":
        return set()
    from sqlalchemy import text

    with _connected(settings.log_url) as connection:
        if _LOG not in _tables(connection):
            return set()
        query = text("SELECT key FROM log_records WHERE kind = 'request' AND user_id = ANY(:ids)")
        return set(connection.execute(query, {"ids": list(person.ids)}).scalars())


def _in_postgres(url: str, person: Person, *, erase: bool) -> Iterator[Searched]:
    from sqlalchemy import text

    with _connected(url) as connection:
        for table, columns in _tables(connection).items():
            about, values = _condition(table, columns, person)
            count = text(f"SELECT count(*), count(*) FILTER (WHERE {about}) FROM {table} AS one_row")  # noqa: S608
            looked_at, found = connection.execute(count, values).one()
            if erase and found and ("entity_key" in columns or table == _LOG):
                connection.execute(text(f"DELETE FROM {table} AS one_row WHERE {about}"), values)  # noqa: S608
            yield Searched(f"{_shown(url)} {table}", "rows", looked_at, found)


def _condition(table: str, columns: set[str], person: Person) -> tuple[str, dict[str, Any]]:
    """Return a SQL condition for rows about the user, and its parameters."""
    if "entity_key" in columns:
        keys = [len(one.encode()).to_bytes(4, "little") + one.encode() for one in person.ids]
        named = {f"key{place}": key for place, key in enumerate(keys)}
        return " OR ".join(f"position(:{name} IN entity_key) > 0" for name in named), named
    ids = "|".join(re.escape(one) for one in person.ids)
    words = f"(^|[^[:alnum:]_])({ids})($|[^[:alnum:]_])"
    about = "(one_row::text ~ :words)"
    if table != _LOG:
        return about, {"words": words}
    about = (
        "(user_id = ANY(:ids) OR (kind = 'request' AND key = ANY(:requests)) "
        "OR record ->> 'request_id' = ANY(:requests) OR record -> 'assignment' ->> 'unit' = ANY(:ids))"
    )
    return about, {"ids": list(person.ids), "requests": sorted(person.request_ids)}


def _in_redis(url: str, person: Person, *, erase: bool) -> Searched:
    import redis

    wanted = [len(one.encode()).to_bytes(4, "little") + one.encode() for one in person.ids]
    looked_at, theirs = 0, []
    with closing(redis.Redis.from_url(url)) as client:
        for key in client.scan_iter(count=1_000):
            looked_at += 1
            if any(one in key for one in wanted):
                theirs.append(key)
        if erase and theirs:
            client.delete(*theirs)
    return Searched(f"redis {url.rpartition('@')[2]}", "keys", looked_at, len(theirs))


def _in_elasticsearch(settings: Settings, person: Person, *, erase: bool) -> Iterator[Searched]:
    from tastemaker.event_log.elasticsearch.cluster import Cluster
    from tastemaker.event_log.elasticsearch.indices import TABLES, pattern

    named = sorted(person.request_ids)
    parts = [named[start : start + _TERMS] for start in range(0, len(named), _TERMS)]
    about: list[dict[str, Any]] = [{"terms": {name: list(person.ids)}} for name in ("user_id", "unit")]
    about += [{"terms": {"request_id": part}} for part in parts]
    query = {"query": {"bool": {"should": about, "minimum_should_match": 1}}}
    with closing(Cluster(settings.elasticsearch)) as cluster:
        for table in TABLES:
            path = f"/{pattern(settings.elasticsearch.prefix, table)}"
            cluster.call("POST", f"{path}/_refresh")  # a search sees what was written before
            looked_at = cluster.call("POST", f"{path}/_count")["count"]
            found = cluster.call("POST", f"{path}/_count", query)["count"]
            if erase and found:
                cluster.call("POST", f"{path}/_delete_by_query?conflicts=proceed&refresh=true", query)
            yield Searched(f"{cluster.host} {path[1:]}", "documents", looked_at, found)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    plain = url.split("://", 1)[1]
    engine = create_engine(f"postgresql+psycopg2://{plain}", poolclass=NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise TastemakerError(
            f"{_shown(url)} can't be searched now: {type(error).__name__}",
            fix="start it, then forget again: until then the erasure is not proved",
        ) from None


def _tables(connection: Connection) -> dict[str, set[str]]:
    """Return the columns of each table outside Postgres's own schemas, by quoted name."""
    from sqlalchemy import inspect

    inspector = inspect(connection)
    return {
        f'"{name}"': {column["name"] for column in inspector.get_columns(name)}
        for name in inspector.get_table_names()
    }


def _shown(url: str) -> str:
    from sqlalchemy import make_url

    parsed = make_url(url)
    return f"{parsed.host}:{parsed.port or 5432}/{parsed.database}"
