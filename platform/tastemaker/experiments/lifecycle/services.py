"""The pinned services that a plan needs: one per version that a variant names, and the default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tastemaker.errors import RegistryError, TastemakerError
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.plan import PinnedService
from tastemaker.experiments.service_address import MAX_SOCKET_BYTES
from tastemaker.registry import Registry, Version
from tastemaker.registry.manifest import hash_json
from tastemaker.util.atomic_files import plain_path

SOCKETS = "sockets"
"""Folder of the services' Unix sockets, beside the plan file."""
_RECIPE_LENGTH = 12
_NO_NAME = re.compile(r"[^\w.-]+")
_NO_PATH = re.compile(r"(?!)")


class PinnedServices:
    """The services of one plan. A version that several variants name has one service."""

    def __init__(self, registry: Registry, folder: Path, problem: str) -> None:
        """Start without a service.

        Args:
            registry: The versions.
            folder: The plan's folder, in which the sockets are.
            problem: The problem whose versions may be named.
        """
        self._registry, self._folder, self._problem = registry, folder, problem
        self._found: dict[str, PinnedService] = {}

    @property
    def all(self) -> tuple[PinnedService, ...]:
        """The services, by name."""
        return tuple(self._found[name] for name in sorted(self._found))

    def default(self) -> str | None:
        """Return the name of the champion's service; None if there is no champion."""
        champion = self._registry.champion(self._problem)
        return None if champion is None else self._pin(champion, None)

    def of(self, variants: Mapping[str, VariantDesign]) -> dict[str, str]:
        """Return the name of each variant's service; flags have none.

        Raises:
            RegistryError: There is no such version.
        """
        versions = versions_of(self._registry, self._problem, variants)
        return {name: self._pin(one, variants[name].address) for name, one in versions.items()}

    def _pin(self, version: Version, address: str | None) -> str:
        name = f"{version.model}@{version.id}"
        if address is None:
            address = f"unix:{socket_path(self._folder, name)}"
        else:
            name += f"@{_NO_NAME.sub('-', address.partition('://')[2])}"
        self._found[name] = PinnedService(name, version.model, version.id, address)
        return name


def versions_of(
    registry: Registry, problem: str, variants: Mapping[str, VariantDesign]
) -> dict[str, Version]:
    """Return the version of each variant with a model.

    Recipes have the newest versions whose data end at the same time, so that none is fresher than another.

    Args:
        registry: The registry of the problem's versions.
        problem: The problem that they have to answer.
        variants: The variants of one experiment.

    Raises:
        RegistryError: There is none, it is of another model or problem, or recipes were never trained on data
            with the same end.
    """
    found = {
        name: [_frozen(registry, problem, one)] if one.recipe is None else _trained(registry, problem, one)
        for name, one in variants.items()
        if one.model is not None
    }
    ends = [
        {one.manifest.window.end for one in found[name]}
        for name in found
        if variants[name].recipe is not None
    ]
    common = set.intersection(*ends) if ends else set()
    if ends and not common:
        raise RegistryError(
            "the recipes of the variants have no versions that were trained on data with the same end",
            fix="train all of them: tastemaker run",
        )
    return {
        name: next(
            one for one in versions if variants[name].recipe is None or one.manifest.window.end == max(common)
        )
        for name, versions in found.items()
    }


def recipe_of(version: Version) -> str:
    """Return the name of a version's configuration: versions that are trained again have the same."""
    return hash_json(version.manifest.config)[:_RECIPE_LENGTH]


def _frozen(registry: Registry, problem: str, variant: VariantDesign) -> Version:
    version = registry.get(str(variant.version))
    if version.model != variant.model or version.problem != problem:
        raise RegistryError(
            f"version {version.id} is of {version.model} and the problem {version.problem!r}, not of "
            f"{variant.model} and {problem!r}",
            fix=f"name one of: tastemaker models versions {variant.model}",
        )
    return version


def socket_path(folder: Path, service: str) -> Path:
    """Return the path of a service's Unix socket.

    Args:
        folder: The plan's folder.
        service: The service's name.

    Returns:
        A path in the folder, or through a link in the temporary folder where it would be too long for a
        socket.

    Raises:
        TastemakerError: Even that is too long.
    """
    name = f"{sha256(service.encode()).hexdigest()[:16]}.sock"
    path = folder.absolute() / SOCKETS / name
    if _is_long(path):
        path = plain_path(folder.absolute() / SOCKETS, plain=_NO_PATH) / name
    if _is_long(path):
        raise TastemakerError(
            f"{path} is too long for a socket: more than {MAX_SOCKET_BYTES} bytes",
            fix="set TMPDIR or TASTEMAKER_HOME to a shorter path",
        )
    return path


def _trained(registry: Registry, problem: str, variant: VariantDesign) -> list[Version]:
    """Return the versions of a recipe, newest first."""
    versions = registry.list(variant.model, problem=problem)
    found = [one for one in versions if recipe_of(one) == variant.recipe]
    if not found:
        recipes = ", ".join(dict.fromkeys(map(recipe_of, versions))) or "none"
        raise RegistryError(
            f"{variant.model} has no version of the recipe {variant.recipe!r}; its recipes: {recipes}",
            fix="name one of them, or train it: tastemaker run",
        )
    return found


def _is_long(path: Path) -> bool:
    return len(str(path).encode()) > MAX_SOCKET_BYTES
