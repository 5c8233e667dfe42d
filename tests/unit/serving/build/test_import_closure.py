"""What a Bento carries of the platform is computed from imports: no file too few, none that can't load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.serving.build.import_closure import import_closure, imported_from, required

FILES = {
    "__init__.py": "",
    "service.py": "import json\nfrom shelf import books\nfrom shelf.inner.parts import one\n",
    "books.py": (
        "from typing import TYPE_CHECKING\nimport numpy as np\n"
        "if TYPE_CHECKING:\n    from shelf.typed import Typed\n"
        "def ask():\n    from shelf.reports import draw\n    from shelf.lazy import later\n"
    ),
    "inner/__init__.py": "from shelf.named import NAME\n",
    "inner/parts.py": "try:\n    import tomllib\nexcept ImportError:\n    tomllib = None\none = 1\n",
    "named.py": "NAME = 1\n",
    "typed.py": "class Typed: ...\n",
    "reports.py": "import matplotlib\nfrom shelf.onlyreports import x\n",
    "onlyreports.py": "x = 1\n",
    "lazy.py": "from shelf.reports import draw\nlater = draw\n",
    "other.py": "",
    "style.css": "",
    "pictures/one.svg": "",
}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "shelf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "shelf"


@pytest.mark.slow
def test_what_loads_comes_along_and_what_can_not_load_is_left_out(shelf: Path) -> None:
    found = import_closure(shelf, "shelf", ["shelf.service"], ["numpy"])
    names = {str(path.relative_to(shelf)) for path in found}
    assert names == {
        "__init__.py", "service.py", "books.py", "inner/__init__.py", "inner/parts.py", "named.py",
        "typed.py", "style.css",
    }  # fmt: skip


@pytest.mark.slow
def test_with_the_package_that_it_lacked_the_module_comes_along(shelf: Path) -> None:
    found = import_closure(shelf, "shelf", ["shelf.service"], ["numpy", "matplotlib"])
    names = {path.name for path in found}
    assert {"reports.py", "onlyreports.py", "lazy.py"} <= names
    assert "other.py" not in names


@pytest.mark.slow
def test_a_start_that_can_not_load_is_an_error_that_names_what_it_lacks(shelf: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"shelf\.service can't be packed without numpy"):
        import_closure(shelf, "shelf", ["shelf.service"], [])


def test_imports_of_a_folder(shelf: Path) -> None:
    assert imported_from("shelf", shelf / "inner") == {"shelf.named"}


def test_requirements_of_requirements_come_with_them() -> None:
    assert {"pydantic", "pydantic-core", "typing-extensions"} <= required(["pydantic"])
    assert "no-such-distribution" in required(["no_such.distribution"])
