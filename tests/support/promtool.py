"""Prometheus' own test tool, and samples as it writes them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from support.servers import not_installed
from tastemaker.alerting.series import Labels, Series, SeriesByName

SampledValue = float | str
"""A value, `_` where a scrape is missing, or `stale` where the series ended."""


def tool(name: str, package: str) -> str:
    """Return the path of a program; skip the test, or in CI fail, where it is not installed."""
    found = shutil.which(name)
    if found is None:
        not_installed(f"{name} (Debian: {package})")
    return found


def run_promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [tool("promtool", "prometheus"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def write_yaml(path: Path, document: Any) -> None:
    """Write a document in UTF-8."""
    yaml = YAML()
    yaml.width = 10_000
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def braced(labels: Iterable[tuple[str, str]]) -> str:
    """Return labels as PromQL writes them."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels)) + "}"


def input_series(sampled: Mapping[tuple[str, Labels], Sequence[SampledValue]]) -> list[dict[str, str]]:
    """Return series for promtool's `input_series`."""
    return [
        {"series": metric + braced(labels), "values": " ".join(map(str, values))}
        for (metric, labels), values in sampled.items()
    ]


def as_series(sampled: Mapping[tuple[str, Labels], Sequence[SampledValue]], interval: float) -> SeriesByName:
    """Return the same series for the evaluator, the first sample at 0."""
    found: dict[str, list[Series]] = {}
    for (metric, labels), values in sampled.items():
        present = [
            (place * interval, None if value == "stale" else float(value))
            for place, value in enumerate(values)
            if value != "_"
        ]
        series = Series(labels, [time for time, _ in present], [value for _, value in present])
        found.setdefault(metric, []).append(series)
    return found
