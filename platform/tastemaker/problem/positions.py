"""Line numbers of the keys and entries of a YAML document."""

from __future__ import annotations

from dataclasses import dataclass, field

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tastemaker.problem.rules import Mistake, Path
from tastemaker.util.canonical_texts import canonical_text


@dataclass
class Positions:
    """Line numbers by path, and the keys that are given twice."""

    lines: dict[Path, int] = field(default_factory=dict)
    duplicates: list[Mistake] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a path, from 1; that of its nearest ancestor if it isn't in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def find_positions(root: Node | None) -> Positions:
    """Return the positions in a composed document. An alias is followed once, so that recursion ends."""
    positions = Positions()
    waiting: list[tuple[Path, Node]] = [] if root is None else [((), root)]
    seen: set[int] = set()
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        positions.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, SequenceNode):
            waiting += [((*path, i), child) for i, child in enumerate(node.value)]
        elif isinstance(node, MappingNode):
            waiting += _children(path, node, positions)
    return positions


def _children(path: Path, node: MappingNode, positions: Positions) -> list[tuple[Path, Node]]:
    children: dict[Path, Node] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            continue
        at: Path = (*path, canonical_text(key.value))
        line = key.start_mark.line + 1
        if at in children:
            # The mistake has a path of its own, so that it shows the second line and not the first.
            again = (*path, f"{key.value} (again)")
            positions.lines[again] = line
            first = positions.lines[at]
            positions.duplicates.append(
                Mistake(again, f"{dotted(at)} is given a second time", f"remove it here or in line {first}")
            )
            continue
        children[at] = value
        positions.lines[at] = line
    return list(children.items())


def dotted(path: Path) -> str:
    """Return a path in text, such as ``objectives[0].share``.

    >>> dotted(("objectives", 0, "share"))
    'objectives[0].share'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
