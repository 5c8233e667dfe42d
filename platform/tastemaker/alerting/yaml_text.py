"""YAML as the generated files have it."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

LINE_WIDTH = 100_000
"""No line is broken: expressions stay in one piece."""


def yaml_text(document: Any, *comments: str) -> str:
    """Return a document as YAML, below comment lines.

    Args:
        document: Mappings, sequences and plain values; mappings keep their order.
        comments: Lines of the comment without the number sign; none gives no comment.
    """
    yaml, text = YAML(), StringIO()
    yaml.width = LINE_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(document, text)
    return "".join(f"# {line}\n" for line in comments) + text.getvalue()
