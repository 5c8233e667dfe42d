"""`bentoml build`: a Bento that carries one model and what serves it, and nothing else of where it was built.

src/tastemaker/              the parts of the platform that serve
src/tastemaker_<family>/     the model's package, with its entry points beside it
src/version/                 the model version and its snapshot, verified
env/python/requirements.txt  what these need from the package index, at the versions that are installed here
"""

from __future__ import annotations

import re
import shutil
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
from tastemaker.serving.ranking import ann_index

PACKED_VERSION = "version"
_PLATFORM = "tastemaker"
_SERVING_FILES = (
    "__init__.py",
    "py.typed",
    "errors.py",
    "files.py",
    "mistyped.py",
    "settings.py",
    "supervised.py",
    "spelling.py",
    "data/__init__.py",
    "snapshot/canonical_ids.py",
    "snapshot/item_content.py",
    "snapshot/ids.py",
    "snapshot/item_neighbours.py",
    "snapshot/snapshot.py",
    "data/unknown_ids.py",
    "snapshot/event_reward.py",
    "html/__init__.py",
    "html/parts.py",
    "html/shell.py",
    "html/style.css",
    "learning/__init__.py",
    "online_learning/checkpoints.py",
    "logs/__init__.py",
    "event_log/lookup.py",
    "event_log/recent.py",
    "event_log/records.py",
    "event_log/spool.py",
    "event_log/spool_file.py",
    "plugins/*.py",
    "privacy/__init__.py",
    "privacy/pseudonyms.py",
    "registry/__init__.py",
    "registry/artifact.py",
    "registry/deployment.py",
    "registry/manifest.py",
    "serving/*.py",
    "serving/candidates/*.py",
)
"""What a serving process imports of the platform. tests/integration/test_bento_build.py runs on it alone."""
_FEATURE_FILES = tuple(
    f"features/{name}.py" for name in ("__init__", "items", "moments", "names", "online", "users")
)
"""The same for a model that reads user features."""
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
"""The same of the package index; BentoML adds itself."""


@attrs.define
class SelfContained(Image):  # type: ignore[misc]
    """An image spec that, when the Bento is built, replaces its sources by what this model needs."""

    model: str = ""
    lock_python_packages: bool = False  # locking asks a package index; the versions are pinned below

    def freeze(self, bento_fs: Path, envs: Any, platform_: str | None = None) -> Any:
        """Called by `bentoml build` once it has copied the build context."""
        try:
            self.python_packages(*pack(self.model, Path(bento_fs) / "src"))
        except TastemakerError as error:
            raise BentoMLException(str(error)) from None
        return super().freeze(bento_fs, envs, platform_)


def pack(model: str, source: Path) -> list[str]:
    """Make `source` hold what serves the model; returns the requirements. Raises TastemakerError."""
    from tastemaker.registry.artifact import SERVING, export_version
    from tastemaker.serving.runtime.version_selection import version_folder
    from tastemaker.settings import load_settings

    plugin = discovery.get(model)
    settings = load_settings()
    for path in source.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    export_version(version_folder(settings, model), source / PACKED_VERSION)
    reads_features = bool(plugin.recommender.capabilities.user_features)
    _copy(_PLATFORM, _SERVING_FILES + (_FEATURE_FILES if reads_features else ()), source)
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
    return sorted(pinned)


def _families(name: str) -> dict[str, Distribution]:
    """The distribution and those of other models that it stands on: a ranker needs its retrievers."""
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
    """The names of the distributions that one requires."""
    needed = [Requirement(line) for line in family.requires or ()]
    return {
        _normal(each.name) for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def _normal(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy_family(family: Distribution, source: Path) -> None:
    """Its packages, and its metadata: so its models are found by entry point without an installation."""
    for package in {entry.module.partition(".")[0] for entry in _models(family)}:
        _copy(package, ("**/*",), source)
    folder = source / f"{family.name.replace('-', '_')}-{family.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(family.read_text(name) or "")


def _copy(package: str, patterns: tuple[str, ...], source: Path) -> None:
    """Copy the files of an installed package that match."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"package {package} can't be packed: it is no folder", fix="install it unzipped")
    root = Path(spec.submodule_search_locations[0])
    for path in {path for pattern in patterns for path in root.glob(pattern)}:
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / package / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
