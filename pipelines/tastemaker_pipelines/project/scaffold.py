"""Write the folder of a new project, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from tastemaker._version import __version__
from tastemaker.errors import TastemakerError
from tastemaker_pipelines.dagster_yaml import project_config

LISTED = 3
"""How many names of a folder's content an error lists."""
FILES = {
    "README.md": "README.md",
    "tastemaker.toml": "tastemaker.toml",
    "asset_graph.py": "asset_graph.py",
    "pyproject.toml": "pyproject.toml",
    "requirements.txt": "requirements.txt",
    "gitignore": ".gitignore",
    "models.md": "models/README.md",
}
"""Template -> file of the project."""


class Project(NamedTuple):
    """What the files of a new project say."""

    title: str
    source: str
    """The section [source] of tastemaker.toml."""
    problem: str
    """The text of problem.yaml."""
    first_steps: str
    """The commands that the README begins with."""


def create(folder: Path, project: Project) -> list[str]:
    """Create the project's files in a new or an empty folder.

    Args:
        folder: Is created, with its parents, unless it exists.
        project: What the files say.

    Returns:
        The files, relative to the folder.

    Raises:
        TastemakerError: If the folder is not empty, or can't be written; then it is as it was before.
    """
    folder = folder.absolute()
    require_empty(folder)
    texts = rendered(project)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder if folder.exists() else folder.parent
        with tempfile.TemporaryDirectory(prefix=".tastemaker-init-", dir=beside) as scratch:
            draft = Path(scratch) / "project"
            for name, text in texts.items():
                target = draft / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, "utf-8")
            _publish(draft, folder)
    except OSError as error:
        raise TastemakerError(
            f"{folder} can't be written: {error.strerror}",
            fix="choose a folder in a place that you may write to",
        ) from error
    return list(texts)


def require_empty(folder: Path) -> None:
    """Raise TastemakerError unless the folder is empty or does not exist."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise TastemakerError(f"{folder} is a file", fix="choose another name for the project's folder")
    try:
        found = sorted(child.name for child in folder.iterdir())
    except OSError as error:
        raise TastemakerError(
            f"{folder} can't be read: {error.strerror}", fix="choose a folder that you may read"
        ) from error
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise TastemakerError(
            f"{folder} is not empty: it has {', '.join(found[:LISTED])}{more}",
            fix="choose a new name, or an empty folder",
        )


def rendered(project: Project) -> dict[str, str]:
    """Return the text of each file of the project."""
    values = project._asdict() | {"version": __version__, "requirements": _requirements()}
    templates = files("tastemaker_pipelines.project") / "templates"
    texts = {
        path: Template((templates / f"{name}.template").read_text("utf-8")).substitute(values)
        for name, path in FILES.items()
    }
    return texts | {"problem.yaml": project.problem, "dagster.yaml": project_config()}


def toml(value: str) -> str:
    """Return a text as a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _publish(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    moved: list[Path] = []
    try:
        for child in sorted(draft.iterdir()):
            moved.append(child.rename(folder / child.name))
    except OSError:
        for child in moved:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        raise


def _requirements() -> str:
    """Return one line per installed distribution of models, with its version."""
    found: Mapping[str, str] = {
        entry.dist.name: entry.dist.version for entry in entry_points(group="tastemaker.models") if entry.dist
    }
    return "\n".join(f"{name}=={version}" for name, version in sorted(found.items()))
