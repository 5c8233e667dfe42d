"""Draw docs/images/automation.svg from the definitions: python docs/draw_automation.py

On the left what starts runs (sensors and schedules) and when, on the right the groups of assets that each
materializes, in the order of the asset graph, with the conditions of their assets.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from draw_asset_graph import document, ordered_groups
from tastemaker_pipelines.automation.conditions import RecordedCondition

PICTURE = Path(__file__).parent / "images" / "automation.svg"
WIDTH, MARGIN, LINE, GAP = 620, 10, 20, 12
"""Of the picture; around it; height of a line of text; between boxes."""
LEFT, RIGHT = 235, 255
"""Widths of the two columns."""
PAD = 12
CHARACTERS = 34
"""Of a line of conditions."""


class Starter(NamedTuple):
    """A sensor or a schedule."""

    name: str
    when: str
    groups: frozenset[str]
    """The groups of the assets that it materializes."""


class Box(NamedTuple):
    """A box with its lines: the first one is its title."""

    x: float
    y: float
    width: float
    lines: Sequence[str]

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + PAD


def starters(definitions: dg.Definitions) -> list[Starter]:
    """Return what starts runs of assets, schedules first, each sorted by name."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    found = []
    for schedule in repository.schedule_defs:
        keys = _keys(repository, [schedule.job_name])
        found.append(
            Starter(
                schedule.name,
                f"cron {schedule.cron_schedule}, {schedule.execution_timezone}",
                _groups(graph, keys),
            )
        )
    for sensor in repository.sensor_defs:
        if isinstance(sensor, dg.AutomationConditionSensorDefinition):
            selected = sensor.asset_selection.resolve(graph)
            keys = {key for key in selected if graph.get(key).automation_condition is not None}
        else:
            keys = _keys(repository, [target.job_name for target in sensor.targets])
        seconds = sensor.minimum_interval_seconds
        found.append(Starter(sensor.name, f"every {seconds} s", _groups(graph, keys)))
    return [one for one in found if one.groups]


def _keys(repository: Any, jobs: Iterable[str]) -> set[dg.AssetKey]:
    return {key for job in jobs for key in repository.get_job(job).asset_layer.executable_asset_keys}


def _groups(graph: dg.AssetGraph, keys: Iterable[dg.AssetKey]) -> frozenset[str]:
    return frozenset(graph.get(key).group_name for key in keys)


def conditions(graph: dg.AssetGraph) -> dict[str, list[str]]:
    """Return the names and labels of the conditions of each group's assets, in their order."""
    found: dict[str, dict[str, None]] = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        if node.automation_condition is not None:
            found.setdefault(node.group_name, {}).update(dict.fromkeys(_named(node.automation_condition)))
    return {group: list(names) for group, names in found.items()}


def _named(condition: dg.AutomationCondition[Any]) -> Iterator[str]:
    """Yield the labels of a condition's parts, and the names of those that the platform defines."""
    label = condition.get_label()
    if label is not None:
        yield label
    elif isinstance(condition, RecordedCondition):
        yield condition.name
    else:
        for part in condition.children:
            yield from _named(part)


def render(definitions: dg.Definitions) -> str:
    """Return the picture of what starts which assets, as SVG."""
    graph = definitions.resolve_asset_graph()
    found = starters(definitions)
    order = [group for group in ordered_groups(graph) if any(group in one.groups for one in found)]
    lines = {group: [group, *_wrapped(conditions(graph).get(group, ()))] for group in order}
    right = _column(WIDTH - MARGIN - RIGHT, RIGHT, [lines[group] for group in order])
    places = dict(zip(order, right, strict=True))
    starts_all = [one for one in found if len(one.groups) == len(order)]
    others = [one for one in found if one not in starts_all]
    others.sort(key=lambda one: _middle([places[group] for group in one.groups]))
    texts = [
        [one.name, one.when, *(["all groups"] if one in starts_all else [])] for one in starts_all + others
    ]
    left = _column(MARGIN, LEFT, texts)
    arrows = []
    for n, one in enumerate(others, start=len(starts_all)):
        ends = [places[group] for group in order if group in one.groups]
        above = left[n - 1].y + left[n - 1].height + GAP if n else MARGIN
        left[n] = left[n]._replace(y=max(above, _middle(ends) - left[n].height / 2))
        arrows += [_arrow(left[n], end) for end in ends]
    height = max(box.y + box.height for box in (*left, *right)) + MARGIN
    title = "What starts runs, and the groups of assets that each materializes under which conditions"
    return document(title, WIDTH, height, [*arrows, *map(_drawn, (*left, *right))])


def _wrapped(names: Iterable[str]) -> list[str]:
    return textwrap.wrap(", ".join(names), CHARACTERS)


def _column(x: float, width: float, texts: Iterable[Sequence[str]]) -> list[Box]:
    """Return boxes below each other."""
    boxes: list[Box] = []
    y = float(MARGIN)
    for lines in texts:
        boxes.append(Box(x, y, width, lines))
        y += boxes[-1].height + GAP
    return boxes


def _middle(boxes: Sequence[Box]) -> float:
    """Return the mean height of the middles of boxes."""
    return sum(box.y + box.height / 2 for box in boxes) / len(boxes)


def _arrow(start: Box, end: Box) -> str:
    x, y = start.x + start.width, start.y + start.height / 2
    to_x, to_y = end.x - 3, end.y + end.height / 2
    middle = (x + to_x) / 2
    return f'<path class="arrow" d="M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"/>'


def _drawn(box: Box) -> str:
    shape = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="8"'
    texts = [
        f'<text class="{"many" if n else "name"}" x="{box.x + PAD:g}" y="{box.y + LINE * (n + 1):g}">'
        f"{escape(line)}</text>"
        for n, line in enumerate(box.lines)
    ]
    return "\n".join([f'<rect class="group" {shape}/>', *texts])


def main() -> None:
    """Write the picture."""
    from tastemaker.plugins.discovery import find
    from tastemaker_pipelines.definitions import assemble
    from tastemaker_pipelines.resources import LazyWorkspace

    PICTURE.write_text(render(assemble(find(), LazyWorkspace())), "utf-8")


if __name__ == "__main__":
    main()
