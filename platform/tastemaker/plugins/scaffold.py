"""Creation of a new model's folder: a distribution that passes every check before it is edited."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template

from tastemaker.errors import PluginError
from tastemaker.plugins import discovery

MAX_NAME = 60
"""The maximal length of a model's name."""


def create_plugin(name: str, parent: Path) -> Path:
    """Create a folder with a working model, its tests and its package metadata.

    Args:
        name: The model's name: lower case words joined by `_`.
        parent: The folder to create it in, such as `models`.

    Returns:
        `parent/name`.

    Raises:
        PluginError: The name is invalid or taken, or the folder exists or can't be written.
    """
    _require_usable(name)
    folder = parent / name
    if folder.exists():
        raise PluginError(f"{folder} exists already", fix="choose another name or another --folder")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as scratch:
            draft = Path(scratch) / name
            draft.mkdir()
            _fill(draft, name)
            draft.rename(folder)
    except OSError as error:
        raise PluginError(
            f"{folder} can't be written: {error.strerror}", fix="choose another --folder"
        ) from error
    return folder


def _require_usable(name: str) -> None:
    if not discovery.NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise PluginError(
            f"{name!r} can't be a model's name",
            fix=f"use lower case words joined by _, at most {MAX_NAME} letters, such as my_model",
        )
    for distribution in discovery.distributions_with(name):
        raise PluginError(f"{distribution} has a model named {name} already", fix="choose another name")


def _fill(folder: Path, name: str) -> None:
    words = name.split("_")
    package = f"tastemaker_{name}"
    values = {
        "name": name,
        "title": " ".join(words).capitalize(),
        "class_name": "".join(word.capitalize() for word in words),
        "package": package,
        "distribution": package.replace("_", "-"),
    }
    for template, path in {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "__init__.py": f"{package}/__init__.py",
        "model.py": f"{package}/{name}.py",
        "service.py": f"{package}/service.py",
        "py.typed": f"{package}/py.typed",
        "bentofile.yaml": "bentofile.yaml",
        "test_model.py": f"tests/test_{name}.py",
    }.items():
        text = (files("tastemaker.plugins") / "templates" / f"{template}.template").read_text("utf-8")
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(Template(text).substitute(values), "utf-8")
