"""The indices of the log: one per table and day, so that a document's index follows from the document.

A repeated write meets the id that it wrote before, in whatever order days are written, and retention deletes
whole indices. Fields are fixed (`dynamic: strict`): contexts and features, whose names callers choose, are
one field each, since every name would otherwise count towards the limit of fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa

from tastemaker.data.tables import FEEDBACK, REQUESTS
from tastemaker.event_log.elasticsearch.cluster import Cluster, Document

TABLES: Final = {"requests": ("request_id", "occurred_at"), "feedback": ("event_id", "received_at")}
"""Table -> the column with the id, and the time whose day is the index's."""
SCHEMAS: Final = {"requests": REQUESTS, "feedback": FEEDBACK}
OBJECTS: Final = ("context", "features")
"""Columns with JSON."""
NUMBERS: Final = "numbers"
"""Name of the numbers of a context that is a list: an index holds objects only."""
_NOT_SEARCHED: Final = ("scores", "propensities")
_KEYWORD: Final = {"type": "keyword", "ignore_above": 1_024}


def properties(table: str, *, is_opensearch: bool) -> dict[str, Any]:
    """Return the fields of a table's documents, as the mapping of its indices has them.

    Args:
        table: A key of SCHEMAS.
        is_opensearch: Whether the cluster is one of OpenSearch, which has another type for objects.

    Returns:
        The column of each field -> its type and parameters.
    """
    return {field.name: _field(field, is_opensearch=is_opensearch) for field in SCHEMAS[table]}


def _field(field: pa.Field, *, is_opensearch: bool) -> dict[str, Any]:
    if field.name in OBJECTS:
        return {"type": "flat_object"} if is_opensearch else {"type": "flattened", "ignore_above": 1_024}
    kind = field.type.value_type if pa.types.is_list(field.type) else field.type
    if pa.types.is_string(kind):
        return dict(_KEYWORD)
    if field.name in _NOT_SEARCHED:
        return {"type": "float", "index": False, "doc_values": False}
    if pa.types.is_timestamp(kind):
        return {"type": "date"}
    names = {pa.int32(): "integer", pa.int64(): "long", pa.float32(): "float", pa.float64(): "double"}
    return {"type": names[kind]}


def put_templates(cluster: Cluster, prefix: str, log_days: int | None) -> None:
    """Create or replace the templates of the indices, and the policy that deletes them after `log_days`.

    Args:
        cluster: Stores them.
        prefix: Beginning of the indices' names.
        log_days: Days that are kept; None: all.

    Raises:
        TastemakerError: The cluster refuses them.
    """
    policy = f"{prefix}-log"
    if log_days is not None:
        (_put_ism_policy if cluster.is_opensearch else _put_ilm_policy)(cluster, policy, prefix, log_days)
    for table in TABLES:
        # The age of an index counts from the day in its name, not from when it was written.
        lifecycle = {"index.lifecycle.name": policy, "index.lifecycle.parse_origination_date": True}
        settings = lifecycle if log_days is not None and not cluster.is_opensearch else {}
        fields = properties(table, is_opensearch=cluster.is_opensearch)
        template = {"settings": settings, "mappings": {"dynamic": "strict", "properties": fields}}
        body = {"index_patterns": [pattern(prefix, table)], "priority": 200, "template": template}
        cluster.call("PUT", f"/_index_template/{prefix}-{table}", body)


def _put_ilm_policy(cluster: Cluster, policy: str, prefix: str, days: int) -> None:
    delete = {"min_age": f"{days}d", "actions": {"delete": {}}}
    phases = {"hot": {"actions": {}}, "delete": delete}
    cluster.call("PUT", f"/_ilm/policy/{policy}", {"policy": {"phases": phases}})


def _put_ism_policy(cluster: Cluster, policy: str, prefix: str, days: int) -> None:
    path = f"/_plugins/_ism/policies/{policy}"
    known = cluster.call("GET", path, missing_is_empty=True)
    age = {"min_index_age": f"{days}d"}
    kept = {"name": "kept", "actions": [], "transitions": [{"state_name": "deleted", "conditions": age}]}
    deleted = {"name": "deleted", "actions": [{"delete": {}}], "transitions": []}
    patterns = [pattern(prefix, table) for table in TABLES]
    body = {
        "policy": {
            "description": "deletes the request log after privacy.log_days",
            "default_state": "kept",
            "states": [kept, deleted],
            "ism_template": [{"index_patterns": patterns, "priority": 100}],
        }
    }
    if known:  # a policy is replaced only by one who knows its present number
        path += f"?if_seq_no={known['_seq_no']}&if_primary_term={known['_primary_term']}"
    cluster.call("PUT", path, body)


def pattern(prefix: str, table: str) -> str:
    """Return the pattern of the names of a table's indices, such as `shop-requests-*`.

    Args:
        prefix: Beginning of the indices' names.
        table: A key of TABLES.
    """
    return f"{prefix}-{table}-*"


def documents(rows: pa.Table, table: str, prefix: str) -> Iterator[Document]:
    """Yield the documents of rows; fields without a value are left out.

    Args:
        rows: Rows of the table.
        table: `REQUESTS` or `FEEDBACK`.
        prefix: Of the index's name.
    """
    key, time = TABLES[table]
    for row in rows.to_pylist():
        index = f"{prefix}-{table}-{row[time]:%Y.%m.%d}"
        fields = {name: value for name, value in row.items() if value is not None}
        for name in OBJECTS:
            if name in fields:
                value = msgspec.json.decode(fields[name])
                fields[name] = {NUMBERS: value} if isinstance(value, list) else value
        yield Document(index, row[key], msgspec.json.encode(fields))
