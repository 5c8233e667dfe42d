"""Mistyped names of settings in the environment or in tastemaker.toml, with suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from pydantic import BaseModel

from tastemaker.util.spelling import closest

PREFIX = "TASTEMAKER_"
OTHERS = (
    "API_KEY",
    "BI_PASSWORD",
    "CHOSEN_VERSION",
    "DASHBOARD_KEY",
    "DASHBOARD_PASSWORD",
    "DATASETS",
    "METRICS_FOLDER",
    "OUTAGE_SECONDS",
    "PSEUDONYM_KEY",
    "SERVER_PROCESS",
    "VERSION",
    "WATCH_KEY",
)
"""Environment variables that are not settings: secrets, and variables of tests and processes."""

_KUBERNETES = re.compile(r"SERVICE_(HOST|PORT.*)|PORT(_\d+.*)?")
"""Variables that Kubernetes sets for a service named tastemaker."""


def mistyped_variables(environment: Iterable[str], settings: type[BaseModel]) -> list[str]:
    """Return a message for each environment variable whose name is close to a setting's.

    Args:
        environment: The names of all variables.
        settings: The class whose fields are the known settings.
    """
    found = []
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if own == name.upper():
            found += _of_other_prefix(name, settings)
            continue
        if own in OTHERS or _KUBERNETES.fullmatch(own):
            continue
        guess = _meant(own, settings)
        if guess is not None:
            found.append(f"{name}: there is no such setting; did you mean {PREFIX}{guess}?")
    return found


def _of_other_prefix(name: str, settings: type[BaseModel]) -> list[str]:
    """Return a message for a known name behind a mistyped prefix, such as TASTEMAKR_HOME."""
    upper, all_known = name.upper(), (*_names(settings), *OTHERS)
    if not upper.endswith(all_known):  # nearly all variables, and this is read at each start
        return []
    for known in all_known:
        prefix = upper.removesuffix(known)
        if prefix != upper and closest(prefix, [PREFIX], cutoff=0.9):
            return [f"{name}: there is no such variable; did you mean {PREFIX}{known}?"]
    return []


def is_setting(name: str) -> bool:
    """Return whether a variable of the environment holds a setting: secrets are read elsewhere."""
    own = name.upper().removeprefix(PREFIX)
    return own != name.upper() and own not in OTHERS


def meant_key(path: Sequence[object], settings: type[BaseModel]) -> str | None:
    """Return the key that an unknown key was probably meant to be; None if none is close.

    Args:
        path: The key, after the keys of the sections that it is in.
        settings: The class whose fields are the known settings.
    """
    section: type[BaseModel] | None = settings
    for part in path[:-1]:
        section = None if section is None else _section(section, str(part))
    return None if section is None else closest(str(path[-1]), section.model_fields)


def _meant(own: str, settings: type[BaseModel]) -> str | None:
    """Return the setting that a variable was meant to be; None for a setting, and if none is close."""
    head, *rest = own.split("__")
    fields = {field.upper(): field for field in settings.model_fields}
    if head in fields:
        return None
    names = _names(settings)
    plain = {name.replace("__", "_"): name for name in names}
    flat = own.replace("__", "_")
    if flat in plain:
        return plain[flat]
    if rest:
        guess = closest(head, fields, cutoff=0.7)
        return None if guess is None else "__".join([guess, *rest])
    guess = closest(flat, {**plain, **dict.fromkeys(OTHERS, "")}, cutoff=0.75)
    return None if guess is None else plain.get(guess, guess)


@cache
def _names(settings: type[BaseModel]) -> tuple[str, ...]:
    """Return every setting as the environment writes it, such as SOURCE__NAME."""
    names = []
    for field in settings.model_fields:
        section = _section(settings, field)
        names.append(field.upper())
        names += [f"{field}__{name}".upper() for name in (section.model_fields if section else ())]
    return tuple(names)


def _section(settings: type[BaseModel], field: str) -> type[BaseModel] | None:
    fields: Mapping[str, object] = settings.model_fields
    annotation = getattr(fields.get(field), "annotation", None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
