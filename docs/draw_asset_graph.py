"""Draw docs/images/asset_graph.svg from the definitions: python docs/draw_asset_graph.py

One box per group, in the order in which they depend on each other; in it the group's assets, an arrow between
those that depend on each other. Assets that exist once per model are drawn once. Dependencies between groups
that follow from others are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import dagster as dg

PICTURE = Path(__file__).parent / "images" / "asset_graph.svg"
WIDTH, MARGIN, GAP, BETWEEN = 520, 10, 10, 26
"""Of the picture; around it; beside boxes and chips; between layers, for the arrows."""
FONT, CHARACTER, CHIP, ROW = 15, 9.04, 26, 34
"""Size of the text; width of a character in it; heights of a chip and of a row of chips."""
HEAD, PAD, ARROW = 30, 12, 26
"""Height of a group's title; what is around a text; width of an arrow between chips."""
STYLE = """
  text { font: 15px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2933 }
  .name { font: 600 16px system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', sans-serif }
  .many { font: 13px system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', sans-serif; fill: #52606d }
  .page { fill: #ffffff }
  .group { fill: #f0f4f8; stroke: #9fb3c8 }
  .chip { fill: #ffffff; stroke: #486581 }
  .arrow { fill: none; stroke: #334e68; stroke-width: 1.8; marker-end: url(#head) }
  .head { fill: #334e68 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .many { fill: #9fb3c8 } .page { fill: #0d1117 }
    .group { fill: #161b22; stroke: #486581 } .chip { fill: #0d1117; stroke: #829ab1 }
    .arrow { stroke: #9fb3c8 } .head { fill: #9fb3c8 }
  }
"""

Parents = Mapping[str, set[str]]


class Box(NamedTuple):
    """A group as it is drawn."""

    name: str
    x: float
    y: float
    width: float
    rows: list[list[str]]
    """Chips and arrows ("->") of each row."""

    @property
    def height(self) -> float:
        return HEAD + len(self.rows) * ROW + PAD / 2

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def render(graph: dg.AssetGraph) -> str:
    """Return the picture of an asset graph, as SVG.

    Raises ValueError if a group depends on one that is more than a layer away: the layout has no room for it.
    """
    groups, parents = _read(graph)
    needed = _needed(groups, parents)
    depth = _depths(needed)
    boxes: dict[str, Box] = {}
    top = float(MARGIN)
    for _, layer in groupby(ordered_groups(graph), key=depth.__getitem__):
        names = list(layer)
        width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
        for n, name in enumerate(names):
            rows = _rows(groups[name], parents, width)
            boxes[name] = Box(name, MARGIN + n * (width + GAP), top, width, rows)
        top += max(boxes[name].height for name in names) + BETWEEN
    arrows = [_between(boxes, depth, parent, child) for parent, child in _reduced(needed)]
    title = "The asset graph: its groups from top to bottom, and their assets"
    return document(title, WIDTH, top - BETWEEN + MARGIN, [*arrows, *map(_drawn, boxes.values())])


def ordered_groups(graph: dg.AssetGraph) -> list[str]:
    """Return the groups of an asset graph, those that others depend on first."""
    groups, parents = _read(graph)
    depth = _depths(_needed(groups, parents))
    return sorted(groups, key=lambda name: (depth[name], name))


def _needed(groups: Mapping[str, Iterable[str]], parents: Parents) -> dict[str, set[str]]:
    """Return the groups that each group depends on."""
    return {
        group: {_group_of(groups, parent) for asset in assets for parent in parents[asset]} - {group}
        for group, assets in groups.items()
    }


def _read(graph: dg.AssetGraph) -> tuple[dict[str, list[str]], Parents]:
    """Return the assets by group, and the parents of each; those of single models have one name together."""
    groups: dict[str, set[str]] = {}
    parents: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        groups.setdefault(node.group_name, set()).add(_label(key))
        parents.setdefault(_label(key), set()).update(_label(parent) for parent in node.parent_keys)
    return {name: sorted(groups[name]) for name in sorted(groups)}, parents


def _label(key: dg.AssetKey) -> str:
    return key.path[0] if len(key.path) == 1 else f"{key.path[0]}/*"


def _group_of(groups: Mapping[str, Iterable[str]], asset: str) -> str:
    return next(name for name, assets in groups.items() if asset in assets)


def _depths(parents: Parents) -> dict[str, int]:
    """Return the length of the longest path that leads to each node."""
    found: dict[str, int] = {}

    def depth(node: str) -> int:
        if node not in found:
            found[node] = 1 + max(map(depth, parents[node]), default=-1)
        return found[node]

    for node in parents:
        depth(node)
    return found


def _reduced(parents: Parents) -> list[tuple[str, str]]:
    """Return the edges that do not follow from others (the transitive reduction)."""

    def above(node: str) -> set[str]:
        return set().union(*({parent} | above(parent) for parent in parents[node]))

    return sorted(
        (parent, child)
        for child, direct in parents.items()
        for parent in direct
        if not any(parent in above(other) for other in direct - {parent})
    )


def _rows(assets: Sequence[str], parents: Parents, width: float) -> list[list[str]]:
    """Return the chips of a group by row; assets that depend on each other follow each other, with arrows."""
    inside = {asset: parents[asset] & set(assets) for asset in assets}
    rows: list[list[str]] = [[]]
    for chain in _components(inside):
        depth = _depths({asset: inside[asset] for asset in chain})
        ordered = sorted(chain, key=lambda asset: (depth[asset], asset))
        for n, asset in enumerate(ordered):
            arrow = ["->"] if n > 0 and depth[asset] > depth[ordered[n - 1]] else []
            if rows[-1] and _wide([*rows[-1], *arrow, asset, "->"]) > width:
                rows.append([])
            rows[-1] += [*arrow, asset]
    return rows


def _components(parents: Parents) -> list[list[str]]:
    """Return the assets that hang together, the longest chain first."""
    found: list[set[str]] = []
    for asset, direct in parents.items():
        joined = [one for one in found if one & (direct | {asset})]
        found = [one for one in found if one not in joined] + [set().union({asset}, direct, *joined)]
    return sorted((sorted(one) for one in found), key=lambda one: (-len(one), one))


def _wide(row: Iterable[str]) -> float:
    return 2 * PAD + sum(ARROW if one == "->" else _chip_width(one) + GAP for one in row) - GAP


def _chip_width(asset: str) -> float:
    return len(asset) * CHARACTER + 14


def _between(boxes: Mapping[str, Box], depth: Mapping[str, int], parent: str, child: str) -> str:
    above, below = boxes[parent], boxes[child]
    if depth[child] != depth[parent] + 1:
        raise ValueError(f"{child} depends on {parent}, {depth[child] - depth[parent]} layers above it")
    narrow = min(above, below, key=lambda box: box.width)
    start, end = above.y + above.height, below.y - 3
    if all(box.x <= narrow.middle <= box.x + box.width for box in (above, below)):
        return f'<path class="arrow" d="M{narrow.middle:g} {start:g}V{end:g}"/>'
    turn = below.y - BETWEEN / 2  # they are beside each other: the arrow turns between the layers
    return f'<path class="arrow" d="M{above.middle:g} {start:g}V{turn:g}H{below.middle:g}V{end:g}"/>'


def _drawn(box: Box) -> str:
    lines = [
        f'<rect class="group" x="{box.x:g}" y="{box.y:g}" '
        f'width="{box.width:g}" height="{box.height:g}" rx="8"/>',
        f'<text class="name" x="{box.x + PAD:g}" y="{box.y + 21:g}">{escape(box.name)}</text>',
    ]
    if any(one.endswith("/*") for row in box.rows for one in row):
        place = f'x="{box.x + box.width - PAD:g}" y="{box.y + 21:g}" text-anchor="end"'
        lines.append(f'<text class="many" {place}>* one per model</text>')
    for n, row in enumerate(box.rows):
        lines += _row(row, box.x + PAD, box.y + HEAD + n * ROW)
    return "\n".join(lines)


def _row(row: Sequence[str], x: float, y: float) -> list[str]:
    lines = []
    x += GAP if row[0] == "->" else 0
    for one in row:
        if one == "->":
            lines.append(f'<path class="arrow" d="M{x - GAP + 1:g} {y + CHIP / 2:g}h{ARROW - 6}"/>')
            x += ARROW - GAP
            continue
        width = _chip_width(one)
        lines.append(f'<rect class="chip" x="{x:g}" y="{y:g}" width="{width:g}" height="{CHIP}" rx="5"/>')
        lines.append(f'<text x="{x + 7:g}" y="{y + 18:g}">{escape(one)}</text>')
        x += width + GAP
    return lines


def document(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """Return an SVG document with the style of these pictures.

    Args:
        title: What it shows, for readers who can't see it.
        width: Its width.
        height: Its height.
        parts: Its elements.
    """
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" aria-labelledby="title">',
            f'<title id="title">{escape(title)}</title>',
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/>'
            "</marker></defs>",
            f'<rect class="page" width="{width:g}" height="{height:g}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Write the picture."""
    from tastemaker.plugins.discovery import find
    from tastemaker_pipelines.definitions import assemble
    from tastemaker_pipelines.resources import LazyWorkspace

    PICTURE.write_text(render(assemble(find(), LazyWorkspace()).resolve_asset_graph()), "utf-8")


if __name__ == "__main__":
    main()
