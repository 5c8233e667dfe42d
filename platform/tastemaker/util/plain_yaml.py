"""YAML of plain values, in which a value that no type can hold stays text, so that its key can be named."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import ScalarNode


class _Constructor(SafeConstructor):
    """Leaves 2026-09-31, which has the form of a date and is none, and numbers of 5,000 digits as text."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):
            if not isinstance(node, ScalarNode):
                raise
            self.recursive_objects.pop(node, None)
            return node.value


def plain_yaml() -> YAML:
    """Return a parser of YAML 1.2 that makes no objects but dicts, lists, texts, numbers and dates."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    return yaml
