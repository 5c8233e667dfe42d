"""`bentoml build`: a Bento that carries one model and what serves it, and nothing else of where it was built.

src/tastemaker/              the parts of the platform that serve
src/tastemaker_<family>/     the model's package, with its entry points beside it
src/version/                 the model version and its snapshot, verified
env/python/requirements.txt  what these need from the package index, at the versions that are installed here
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
from bentoml.exceptions import BentoMLException
from bentoml.images import Image
from packaging.requirements import Requirement

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.plugins import discovery
from tastemaker.serving.build.import_closure import import_closure, imported_from
from tastemaker.serving.ranking import ann_index

PACKED_VERSION = "version"
_PLATFORM = "tastemaker"
_SERVICE = "tastemaker.serving.bento_service"
_SERVING_REQUIREMENTS = (
    "httptools",
    "markupsafe",
    "msgspec",
    "numpy",
    "psutil",
    "pydantic",
    "pydantic-settings",
    "scipy",
    "structlog",
    "uvicorn",
)
"""What these need of the package index; BentoML adds itself."""


@attrs.define
class SelfContainedImage(Image):  # type: ignore[misc]
    """An image spec that, when the Bento is built, replaces its sources by what this model needs."""

    model: str = ""
    lock_python_packages: bool = False  # locking asks a package index; the versions are pinned below

    def freeze(self, bento_fs: Path, envs: Any, platform_: str | None = None) -> Any:
        """Pack the model into the Bento. `bentoml build` calls this once it has copied the build context.

        Args:
            bento_fs: The folder of the Bento that is being built; the content of its `src` is replaced.
            envs: The environment variables of the Bento, which are passed on to BentoML.
            platform_: The platform of the build, which is passed on to BentoML; None if the build names none.

        Returns:
            BentoML's description of the image, with the requirements of the model.

        Raises:
            BentoMLException: The model or its version can't be packed; the message says why.
        """
        try:
            self.python_packages(*pack(self.model, Path(bento_fs) / "src"))
        except TastemakerError as error:
            raise BentoMLException(str(error)) from None
        return super().freeze(bento_fs, envs, platform_)


def pack(model: str, source: Path) -> list[str]:
    """Replace what is in a folder by what serves a model, and return what that needs from the package index.

    Args:
        model: The model's name. Its pinned or deployed version is packed, else its newest.
        source: An existing folder, which is emptied first.

    Returns:
        The requirements at the versions that are installed here, such as `numpy==2.0.0`, sorted.

    Raises:
        TastemakerError: The model is not installed or is broken, or it has no sound version.
    """
    from tastemaker.registry.artifact import SERVING, export_version
    from tastemaker.serving.runtime.version_selection import version_folder
    from tastemaker.settings import load_settings

    plugin = discovery.get(model)
    settings = load_settings()
    for path in source.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    export_version(version_folder(settings, model), source / PACKED_VERSION)
    reads_features = bool(plugin.recommender.capabilities.user_features)
    families = _families(plugin.distribution)
    for family in families.values():
        _copy_family(family, source)
    requirements = (
        {*_SERVING_REQUIREMENTS}.union(*map(_needs, families.values())) - families.keys() - {_PLATFORM}
    )
    if (source / PACKED_VERSION / SERVING / ann_index.FILE_NAME).exists():
        requirements.add("usearch")
    pinned = {f"{name}=={version(name)}" for name in requirements}
    if reads_features:
        stores = {"duckdb", settings.online_store.type} - {"sqlite"}
        pinned.add(f"feast[{','.join(sorted(stores))}]=={version('feast')}")
    starts = {_SERVICE, *imported_from(_PLATFORM, source)}
    root = _folder(_PLATFORM)
    brought = {"bentoml", *(re.split(r"[\[=]", each)[0] for each in pinned)}
    _copy_files(root, import_closure(root, _PLATFORM, starts, brought), source)
    return sorted(pinned)


def _families(name: str) -> dict[str, Distribution]:
    """Return the distribution and those of other models that it requires: a ranker needs its retrievers."""
    found: dict[str, Distribution] = {}
    waiting = {name}
    while waiting:
        family = distribution(waiting.pop())
        found[_normal(family.name)] = family
        waiting |= {need for need in _needs(family) - found.keys() if _models(distribution(need))}
    return found


def _models(family: Distribution) -> list[EntryPoint]:
    return list(family.entry_points.select(group=discovery.GROUP))


def _needs(family: Distribution) -> set[str]:
    """Return the names of the distributions that a distribution requires."""
    needed = [Requirement(line) for line in family.requires or ()]
    return {
        _normal(each.name) for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def _normal(name: str) -> str:
    """Return a distribution's name in the normalized form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy_family(family: Distribution, source: Path) -> None:
    """Copy a distribution's packages and metadata, so that entry points find its models uninstalled."""
    for package in {entry.module.partition(".")[0] for entry in _models(family)}:
        _copy_package(package, source)
    folder = source / f"{family.name.replace('-', '_')}-{family.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(family.read_text(name) or "")


def _copy_package(package: str, source: Path) -> None:
    """Copy an installed package."""
    root = _folder(package)
    _copy_files(root, [path for path in root.rglob("*") if "__pycache__" not in path.parts], source)


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"package {package} can't be packed: it is not a folder", fix="install it unzipped")
    return Path(spec.submodule_search_locations[0])


def _copy_files(root: Path, paths: Iterable[Path], source: Path) -> None:
    """Copy files of the package in `root` to where it will be in `source`."""
    for path in paths:
        if path.is_file():
            target = source / root.name / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
