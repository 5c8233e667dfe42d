"""The project's wheels, and virtual environments that have them instead of the source folders."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from support.repository import ROOT

FAMILIES = sorted(folder.name for folder in (ROOT / "models").iterdir() if folder.is_dir())
BUILD_SECONDS = 60


def build(folder: Path) -> dict[str, Path]:
    """Build every wheel into `folder`; return them by distribution: `tastemaker` and the models'."""
    for source in (ROOT, *(ROOT / "models" / family for family in FAMILIES)):
        python(["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)], source)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


def python(arguments: list[str], folder: Path) -> str:
    """Run this Python in `folder`, which must succeed, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path, wheels: dict[str, Path]) -> Path:
    """Create a virtual environment with these wheels, and return its folder of programs.

    The libraries are this Python's own, so that nothing is downloaded: a path file lists them behind the
    wheels. Path files of that folder are not followed, and it is they that lead to the source folders.
    """
    python(["-m", "venv", "--without-pip", str(folder)], folder.parent)
    install(folder / "bin" / "python", *map(str, wheels.values()))
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def install(python: Path, *what: str) -> None:
    """Install wheels or folders into the environment of `python`, without its dependencies."""
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--offline", "--no-deps"]
    done = subprocess.run(
        [*uv, "--no-build-isolation", "--python", str(python), *what], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
