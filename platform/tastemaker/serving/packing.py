"""`bentoml build`: a Bento that carries one model and what serves it, and nothing else of where it was built.

src/tastemaker/              the parts of the platform that serve
src/tastemaker_<family>/     the model's package, with its entry points beside it
src/version/                 the model version and its snapshot, verified
env/python/requirements.txt  what these need from the package index, at the versions that are installed here
"""

from __future__ import annotations

import shutil
from importlib.metadata import Distribution, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
from bentoml.images import Image
from packaging.requirements import Requirement

from tastemaker.errors import PluginError
from tastemaker.plugins import finder

PACKED_VERSION = "version"
_PLATFORM = "tastemaker"
_PLATFORM_PARTS = (
    "__init__.py",
    "data",
    "errors.py",
    "features",
    "logs",
    "plugins",
    "py.typed",
    "registry",
    "serving",
    "settings.py",
)
_NOT_IN_A_BENTO = {"sqlalchemy", "alembic"}
"""Needed to find a version in the registry; a Bento carries its version."""


@attrs.define
class SelfContained(Image):  # type: ignore[misc]
    """An image spec that, when the Bento is built, replaces its sources by what this model needs."""

    model: str = ""
    lock_python_packages: bool = False  # locking asks a package index; the versions are pinned below

    def freeze(self, bento_fs: Path, envs: Any, platform_: str | None = None) -> Any:
        """Called by `bentoml build` once it has copied the build context."""
        self.python_packages(*pack(self.model, Path(bento_fs) / "src"))
        return super().freeze(bento_fs, envs, platform_)


def pack(model: str, source: Path) -> list[str]:
    """Make `source` hold what serves the model; returns the requirements. Raises TastemakerError."""
    from tastemaker.registry.artifact import export_version
    from tastemaker.serving.choice import version_folder
    from tastemaker.settings import load_settings

    plugin = finder.get(model)
    settings = load_settings()
    for path in source.iterdir():
        if path.name != "bentofile.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    export_version(version_folder(settings, model), source / PACKED_VERSION)
    package = plugin.entry_point.partition(":")[0].partition(".")[0]
    _copy_package(_PLATFORM, source, _PLATFORM_PARTS)
    _copy_package(package, source)
    family = distribution(plugin.distribution)
    _copy_entry_points(family, source)
    requirements = _requirements(family, extras=()) | _requirements(
        distribution(_PLATFORM), extras=("serving",)
    )
    if plugin.recommender.capabilities.user_features:
        requirements |= {f"feast[{settings.online_store.type}]=={version('feast')}"}
    return sorted(requirements)


def _copy_package(name: str, source: Path, parts: tuple[str, ...] | None = None) -> None:
    """Copy an installed package's files, all or some of its parts."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"package {name} can't be packed: it is no folder", fix="install it unzipped")
    root = Path(spec.submodule_search_locations[0])
    for part in sorted(root.iterdir()) if parts is None else [root / part for part in parts]:
        if part.is_dir() and part.name != "__pycache__":
            shutil.copytree(part, source / name / part.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif part.is_file():
            (source / name).mkdir(exist_ok=True)
            shutil.copy(part, source / name / part.name)


def _copy_entry_points(family: Distribution, source: Path) -> None:
    """The distribution's metadata, so that the model is found by its entry point without an installation."""
    folder = source / f"{family.name.replace('-', '_')}-{family.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        text = family.read_text(name)
        if text is not None:
            (folder / name).write_text(text)


def _requirements(of: Distribution, extras: tuple[str, ...]) -> set[str]:
    """What a distribution needs beside the platform itself, at the installed versions."""
    needed = set()
    for line in of.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if wanted and requirement.name not in {_PLATFORM, *_NOT_IN_A_BENTO}:
            needed.add(f"{requirement.name}=={version(requirement.name)}")
    return needed
