"""Discovery of the installed models by the entry points of distributions.

find (metadata only)  →  load (import)  →  classify (sound or broken, with the reason)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from threading import Thread
from typing import Any, NamedTuple

from tastemaker.errors import PluginError
from tastemaker.plugins.installed import Installed, installed
from tastemaker.plugins.recommender import INTERFACE_VERSION, Capabilities, Config, Recommender, Untyped

GROUP = "tastemaker.models"
"""The group of entry points."""
IMPORT_SECONDS = 60.0
"""The time limit of one plugin's import: some load large libraries from slow disks."""

_hanging: dict[str, Thread] = {}
"""Entry point -> the thread whose import did not end in time, so that it is not waited for twice."""

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""The form of a model's name, which becomes an asset key, a folder and a part of a URL."""


class Discovered(NamedTuple):
    """An entry point that is not imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: str
    """module:Class"""


class Plugin(NamedTuple):
    """A model that can be trained and served."""

    name: str
    recommender: type[Recommender[Any]]
    distribution: str
    version: str
    entry_point: str


class BrokenPlugin(NamedTuple):
    """An entry point that is not a usable model."""

    name: str
    distribution: str
    version: str
    entry_point: str
    reason: str
    """Why it is not usable."""

    def __str__(self) -> str:
        source = f"{self.entry_point} of the distribution {self.distribution} {self.version}"
        return f"{self.name} ({source}): {self.reason}"


@dataclass(frozen=True)
class Plugins:
    """The installed plugins, sorted by name."""

    sound: tuple[Plugin, ...]
    """Those that can be trained and served."""
    broken: tuple[BrokenPlugin, ...]
    """Those that can't, with the reasons."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the models that can be trained and served."""
        return tuple(plugin.name for plugin in self.sound)


def find(entries: Iterable[EntryPoint] | None = None) -> Plugins:
    """Import and classify every installed model. A broken plugin does not affect the others.

    Args:
        entries: The entry points; those of the installed distributions if None.
    """
    found = _found(entries)
    results = [refused or _classify(one) for one, refused in zip(found, _refusals(found), strict=True)]
    return Plugins(
        tuple(result for result in results if isinstance(result, Plugin)),
        tuple(result for result in results if isinstance(result, BrokenPlugin)),
    )


def get(name: str, entries: Iterable[EntryPoint] | None = None) -> Plugin:
    """Import one model, and no other.

    Args:
        name: The model's name.
        entries: The entry points; those of the installed distributions if None.

    Returns:
        The model's class, and the distribution that it comes from.

    Raises:
        PluginError: No such model is installed, or it is broken; the message lists what is installed, or says
            why.
    """
    found = _found(entries)
    for one, refused in zip(found, _refusals(found), strict=True):
        if one.name == name:
            result = refused or _classify(one)
            if isinstance(result, BrokenPlugin):
                raise PluginError(f"model {result}", fix=f"fix or uninstall {result.distribution}")
            return result
    installed = ", ".join(sorted({one.name for one in found})) or "none"
    raise PluginError(
        f"no model named {name!r} is installed; installed: {installed}",
        fix=f"pip install a distribution with an entry point {name!r} in the group {GROUP}",
    )


def installed_names() -> frozenset[str]:
    """Return the names of all installed models, sound or broken, without importing them."""
    return frozenset(one.name for one in _found(None))


def find_matching(wanted: Callable[[str], bool]) -> Plugins:
    """Import and classify the installed models whose names are `wanted`, and no others."""
    return find(one.entry for one in installed(GROUP) if wanted(one.entry.name))


def distributions_with(name: str) -> list[str]:
    """Return the installed distributions that have a model of that name, without importing them."""
    return [one.distribution for one in _found(None) if one.name == name]


def _found(entries: Iterable[EntryPoint] | None) -> list[Discovered]:
    found = installed(GROUP) if entries is None else map(Installed.of, entries)
    return sorted(Discovered(one.entry.name, one.distribution, one.version, one.entry.value) for one in found)


def _refusals(found: list[Discovered]) -> list[BrokenPlugin | None]:
    """Return the faults that the metadata alone shows: two distributions that claim one name."""
    claimed: dict[str, list[Discovered]] = defaultdict(list)
    for one in found:
        claimed[one.name].append(one)
    reasons = {
        name: "the name is taken twice: "
        + " and ".join(f"{one.distribution} ({one.entry_point})" for one in both)
        for name, both in claimed.items()
        if len(both) > 1
    }
    return [BrokenPlugin(*one, reasons[one.name]) if one.name in reasons else None for one in found]


def _classify(one: Discovered) -> Plugin | BrokenPlugin:
    try:
        loaded = _import(EntryPoint(one.name, one.entry_point, GROUP))
    except _NotImportedError as error:
        return BrokenPlugin(*one, f"it can't be imported: {error}")
    try:
        reason = _objection(one.name, loaded)
    except Exception as error:  # any attribute of a class may raise
        reason = f"its class can't be read: {type(error).__name__}: {error}"
    if reason:
        return BrokenPlugin(*one, reason)
    return Plugin(one.name, loaded, one.distribution, one.version, one.entry_point)


class _NotImportedError(Exception):
    """The module of an entry point can't be imported; the message says why."""


def _import(entry: EntryPoint) -> Any:
    """Import what an entry point names, in a thread, so that an import that hangs does not hang the caller.

    Raises _NotImportedError if the import raises anything, or does not end within IMPORT_SECONDS; its thread
    then stays behind, and ends with the process.
    """
    late = _hanging.get(entry.value)
    if late is not None and late.is_alive():
        raise _NotImportedError(f"it has not ended within {IMPORT_SECONDS:g} s")
    loaded: list[Any] = []
    raised: list[BaseException] = []

    def load() -> None:
        try:
            loaded.append(entry.load())
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=load, name=f"import {entry.name}", daemon=True)
    thread.start()
    thread.join(IMPORT_SECONDS)
    if raised:
        raise _NotImportedError(f"{type(raised[0]).__name__}: {raised[0]}") from raised[0]
    if not loaded:
        _hanging[entry.value] = thread
        raise _NotImportedError(f"it did not end within {IMPORT_SECONDS:g} s")
    return loaded[0]


def _objection(name: str, loaded: object) -> str | None:
    """Return why an object is not a usable model of that name; None if it is."""
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
