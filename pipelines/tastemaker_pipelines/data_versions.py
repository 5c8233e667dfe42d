"""Data versions and code versions of assets: what did not change has the version that it had before.

Without one, Dagster takes each materialization for new data, and every night would train every model. An
asset whose content depends on nothing but other assets needs no function here: Dagster derives its data
version from theirs and from its code version.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import dagster as dg

from tastemaker import __version__
from tastemaker.data.lake import Lake, file_metadata
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.version import EVALUATION_VERSION
from tastemaker.event_log.merge import origins
from tastemaker.features.snapshot_path import Kind, snapshot_path
from tastemaker.plugins.code_digest import code_digest
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import load_problem
from tastemaker.workflows.workspace import Workspace

CONFIG_TAG = "tastemaker/config"
"""Tag of a model's materialization: the `config_version` that it was made with."""


def version_of(*parts: Any) -> dg.DataVersion:
    """Return the version of content that these parts describe."""
    return dg.DataVersion(_digest(parts))


def files_version(lake: Lake, *tables: str) -> dg.DataVersion:
    """Return the version of tables of the lake, from the names, sizes and times of their files.

    Files are replaced when their rows change and not otherwise, and there may be gigabytes of them. A merged
    file of the log counts as the files that it was merged from.

    Args:
        lake: Where the files are.
        *tables: The names of the tables.
    """
    return version_of(
        [state for table in tables for state in sorted(chain.from_iterable(map(_states, lake.files(table))))]
    )


def landed_version(lake: Lake, *parts: str) -> dg.DataVersion:
    """Return the version of landed rows: a day that is read again without a change keeps its digest.

    Args:
        lake: Where the rows are.
        parts: The names of the files without suffix, such as a source's name.
    """
    days = [path for part in parts for path in lake.files("landed_events", part=part)]
    catalogue = [
        state
        for table in ("landed_items", "landed_users")
        for part in parts
        for path in lake.files(table, part=part)
        for state in _states(path)
    ]
    return version_of([(path.parent.name, file_metadata(path).get("digest")) for path in days], catalogue)


def snapshots_version(opened: Workspace, kind: Kind, cuts: Collection[int]) -> dg.DataVersion:
    """Return the version of feature snapshots: that of the tables and formulas that they were made from.

    Args:
        opened: The home folder, whose snapshots count.
        kind: `users` or `items`.
        cuts: The cutoffs, in seconds since 1970 UTC.
    """
    root = opened.settings.features
    return version_of(
        [(cut, file_metadata(snapshot_path(root, kind, cut)).get("fingerprint")) for cut in sorted(cuts)]
    )


def model_code_version(plugin: Plugin) -> str:
    """Return the version of a model's code: its release, that of the evaluation, and a digest of its modules.

    A model whose modules can't be parsed has no digest: its backtest says what is wrong with it.
    """
    try:
        digest = code_digest(plugin.recommender)[:12]
    except Exception:
        digest = "unreadable"
    return f"{plugin.version}+{EVALUATION_VERSION}.{digest}"


def config_version(opened: Workspace, plugin: Plugin) -> str:
    """Return the version of a model's hyperparameters, problem and seed, or of what is wrong with them.

    The files are read again: the process of the sensors lives for days. The problem's slices do not count.

    Args:
        opened: Its settings name the problem file, the seed and the model's config.
        plugin: The model.
    """
    try:
        problem = load_problem(opened.settings.problem).model_dump(mode="json", exclude={"slices"})
        config = opened.config(plugin).model_dump(mode="json")
    except TastemakerError as error:
        return _digest(str(error))
    return _digest([problem, config, opened.settings.seed])


def with_code_version(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Return the asset with the platform's code version, unless it has one.

    Without one, Dagster takes the run's id, by which every derived data version would be new.
    """
    return spec if spec.code_version else spec.replace_attributes(code_version=__version__)


def _states(path: Path) -> list[tuple[str, int, int]]:
    return [(f"{path.parent.name}/{part.name}", part.size, part.modified) for part in origins(path)]


def _digest(parts: Any) -> str:
    return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
