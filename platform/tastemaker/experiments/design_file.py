"""Designs as YAML files. Shares of buckets are percentages there: `share: 50 %`, `steps: [1 %, 100 %]`."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design
from tastemaker.experiments.plan import BUCKETS, percentage
from tastemaker.util.plain_yaml import plain_yaml
from tastemaker.util.spelling import did_you_mean

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_BUCKETS_PER_PERCENT = BUCKETS // 100


def read_design_file(path: Path) -> Design:
    """Read a design from a YAML file.

    Args:
        path: The YAML file in UTF-8.

    Raises:
        TastemakerError: It can't be read, a key is unknown or missing, or a value has another type.
    """
    try:
        content = plain_yaml().load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TastemakerError(f"{path} can't be read: {error.strerror}", fix="name another file") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise TastemakerError(f"{path} is not valid YAML: {error}", fix="correct it at that place") from error
    if not isinstance(content, dict):
        raise TastemakerError(
            f"{path} holds {content!r:.60}, must hold keys such as name and variants",
            fix="take one from: tastemaker experiment show NAME --design",
        )
    return to_design(content, str(path))


def to_design(content: Mapping[str, Any], where: str) -> Design:
    """Return the design that a file's content says.

    Args:
        content: Keys and values.
        where: The file, for messages.

    Raises:
        TastemakerError: A key is unknown or missing, or a value has another type; a share is a percentage.
    """
    fields = Design.__struct_fields__
    for key in content:
        if key not in fields:
            known = did_you_mean(str(key), fields, f"use {', '.join(fields)}")
            raise TastemakerError(f"{where}: a design has no {key!r}", fix=known)
    try:
        return msgspec.convert(_in_buckets(content, where), Design)
    except msgspec.ValidationError as error:
        said = str(error).replace("`$.", "`").replace("`$[...]", "`")
        raise TastemakerError(f"{where}: {said}", fix="correct it") from error


def design_text(design: Design) -> str:
    """Return a design as YAML."""
    content = msgspec.to_builtins(design)
    content["claim"] = percentage(content["claim"])
    content["steps"] = [percentage(one) for one in content["steps"]]
    for variant in content["variants"].values():
        variant["share"] = percentage(variant["share"])
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    yaml.dump(content, stream)
    return stream.getvalue()


def _in_buckets(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = dict(content)
    if "claim" in found:
        found["claim"] = buckets(found["claim"], f"{where}: claim")
    if isinstance(found.get("steps"), list):
        found["steps"] = [buckets(one, f"{where}: the step") for one in found["steps"]]
    if isinstance(variants := found.get("variants"), dict):
        found["variants"] = {
            name: one | {"share": buckets(one["share"], f"{where}: the share of {name}")}
            if isinstance(one, dict) and "share" in one
            else one
            for name, one in variants.items()
        }
    return found


def buckets(value: Any, what: str) -> int:
    """Return the buckets of a percentage such as `50 %`.

    Args:
        value: The percentage. A bare number is none: 50 could be buckets, and 0.5 a half.
        what: What it is of, for the message.

    Raises:
        TastemakerError: It is not one.
    """
    if not isinstance(value, str) or not (found := _PERCENT.fullmatch(value)):
        raise TastemakerError(f"{what} {value!r} is not a percentage", fix="write it as '50 %'")
    return round(float(found[1]) * _BUCKETS_PER_PERCENT)
