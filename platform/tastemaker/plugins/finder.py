"""Which models are installed: find the entry points, load them, classify them. Nothing registers itself.

find (metadata only)  →  load (import)  →  classify (sound or broken, with the reason)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from tastemaker.errors import PluginError
from tastemaker.plugins.recommender import INTERFACE_VERSION, Capabilities, Config, Recommender, Untyped

GROUP = "tastemaker.models"
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""A model's name becomes an asset key, a folder and a part of a URL."""


class Found(NamedTuple):
    """An entry point, not imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: str
    """module:Class"""


class Plugin(NamedTuple):
    """A model that may be trained and served."""

    name: str
    recommender: type[Recommender[Any]]
    distribution: str
    version: str
    entry_point: str


class BrokenPlugin(NamedTuple):
    """An entry point that is refused."""

    name: str
    distribution: str
    version: str
    entry_point: str
    reason: str

    def __str__(self) -> str:
        source = f"{self.entry_point} of the distribution {self.distribution} {self.version}"
        return f"{self.name} ({source}): {self.reason}"


@dataclass(frozen=True)
class Plugins:
    """Everything that is installed, each part sorted by name."""

    sound: tuple[Plugin, ...]
    broken: tuple[BrokenPlugin, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that can be trained and served."""
        return tuple(plugin.name for plugin in self.sound)


def find(entries: Iterable[EntryPoint] | None = None) -> Plugins:
    """Every installed model, imported. One broken plugin does not keep the others from working."""
    found = _found(entries)
    results = [refused or _classify(one) for one, refused in zip(found, _refusals(found), strict=True)]
    return Plugins(
        tuple(result for result in results if isinstance(result, Plugin)),
        tuple(result for result in results if isinstance(result, BrokenPlugin)),
    )


def get(name: str, entries: Iterable[EntryPoint] | None = None) -> Plugin:
    """One model, importing no other. Raises PluginError listing what is installed, or why it is refused."""
    found = _found(entries)
    for one, refused in zip(found, _refusals(found), strict=True):
        if one.name == name:
            result = refused or _classify(one)
            if isinstance(result, BrokenPlugin):
                raise PluginError(f"model {result}", fix=f"mend or uninstall {result.distribution}")
            return result
    installed = ", ".join(sorted({one.name for one in found})) or "none"
    raise PluginError(
        f"no model named {name!r} is installed; installed: {installed}",
        fix=f"pip install a distribution with an entry point {name!r} in the group {GROUP}",
    )


def claims(name: str) -> list[str]:
    """The installed distributions that have a model of that name, importing nothing."""
    return [one.distribution for one in _found(None) if one.name == name]


def _found(entries: Iterable[EntryPoint] | None) -> list[Found]:
    entries = entry_points(group=GROUP) if entries is None else entries
    return sorted(
        Found(
            entry.name,
            entry.dist.name if entry.dist else "unknown",
            entry.dist.version if entry.dist else "unknown",
            entry.value,
        )
        for entry in entries
    )


def _refusals(found: list[Found]) -> list[BrokenPlugin | None]:
    """What the metadata alone shows to be wrong: two distributions that claim one name."""
    claimed: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        claimed[one.name].append(one)
    reasons = {
        name: "the name is taken twice: "
        + " and ".join(f"{one.distribution} ({one.entry_point})" for one in both)
        for name, both in claimed.items()
        if len(both) > 1
    }
    return [BrokenPlugin(*one, reasons[one.name]) if one.name in reasons else None for one in found]


def _classify(one: Found) -> Plugin | BrokenPlugin:
    try:
        loaded = EntryPoint(one.name, one.entry_point, GROUP).load()
    except (Exception, SystemExit) as error:
        return BrokenPlugin(*one, f"it can't be imported: {type(error).__name__}: {error}")
    reason = _objection(one.name, loaded)
    if reason:
        return BrokenPlugin(*one, reason)
    return Plugin(one.name, loaded, one.distribution, one.version, one.entry_point)


def _objection(name: str, loaded: object) -> str | None:
    """Why this object is no model of that name, or None."""
    if not (isinstance(loaded, type) and issubclass(loaded, Recommender)):
        return f"expected a subclass of tastemaker.plugins.Recommender, found {loaded!r}"
    if loaded.interface_version != INTERFACE_VERSION:
        return (
            f"it is written for interface version {loaded.interface_version}, "
            f"this platform has version {INTERFACE_VERSION}"
        )
    missing = [part for part in ("name", "reference", "config_type") if not getattr(loaded, part, None)]
    missing += ["config_type"] if loaded.config_type is Untyped else []
    missing += sorted(getattr(loaded, "__abstractmethods__", ()))
    if missing:
        return f"the class lacks: {', '.join(missing)}"
    if not NAME.fullmatch(name):
        return f"the name must be lower case words joined by _, such as item_knn, not {name!r}"
    if loaded.name != name:
        return f"the entry point is named {name!r} but the class says name = {loaded.name!r}"
    config_type: object = loaded.config_type
    capabilities: object = loaded.capabilities
    if not (isinstance(config_type, type) and issubclass(config_type, Config)):
        return f"config_type must be a subclass of tastemaker.plugins.Config, found {config_type!r}"
    if not isinstance(capabilities, Capabilities):
        return f"capabilities must be a tastemaker.plugins.Capabilities, found {capabilities!r}"
    return None
