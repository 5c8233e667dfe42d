"""Writing of problem files with comments."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tastemaker.errors import ProblemError
from tastemaker.problem.spec import ProblemSpec
from tastemaker.util.atomic_files import atomic_write

HEADER = """\
# The problem: which users are shown which items, the rewards, the metric and the constraints.
# `tastemaker frame --show` prints this file as mathematics; a mistake in it is reported with its line.
"""


def to_yaml(spec: ProblemSpec) -> str:
    """Return a problem as YAML, with a comment at each key's first appearance."""
    yaml = YAML()
    yaml.width = 10_000  # long text stays on its line, where its comment is
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)
    stream = io.StringIO()
    yaml.dump(_commented(spec, 0, set()), stream)
    return HEADER + stream.getvalue()


def write_problem(spec: ProblemSpec, path: Path, *, overwrite: bool = False) -> None:
    """Write a problem file, atomically.

    Args:
        spec: The problem to write.
        path: The file, in an existing folder.
        overwrite: Whether an existing file is replaced.

    Raises:
        ProblemError: The file exists already or can't be written.
    """
    if not overwrite:
        refuse_existing(path)
    try:
        path.parent.stat()  # a missing folder is probably a typing mistake: it is not created
        with atomic_write(path) as partial:
            partial.write_text(to_yaml(spec), "utf-8")
    except OSError as error:
        raise ProblemError(
            f"{path} can't be written: {error.strerror}", fix="name a file in a folder that you may write to"
        ) from error


def refuse_existing(path: Path) -> None:
    """Raise ProblemError if the file exists."""
    if path.exists():
        raise ProblemError(
            f"{path} exists already", fix="pass --force to replace it, or --file to write elsewhere"
        )


def _null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _commented(part: BaseModel, indent: int, explained: set[type]) -> CommentedMap:
    """Return a part with its fields' docstrings as comments, unless an earlier part of its type has them."""
    mapping = CommentedMap()
    explain = type(part) not in explained
    explained.add(type(part))
    for key, field in type(part).model_fields.items():
        mapping[key] = _value(getattr(part, key), indent, explained)
        if explain and field.description:
            mapping.yaml_set_comment_before_after_key(
                key, before=f"\n{field.description}" if not indent else field.description, indent=indent
            )
    return mapping


def _value(value: Any, indent: int, explained: set[type]) -> Any:
    if isinstance(value, BaseModel):
        return _commented(value, indent + 2, explained)
    if isinstance(value, Mapping):
        return CommentedMap({key: _value(entry, indent + 2, explained) for key, entry in value.items()})
    if isinstance(value, tuple):
        entries = CommentedSeq(_value(entry, indent + 2, explained) for entry in value)
        if not entries:
            entries.fa.set_flow_style()
        return entries
    return value
