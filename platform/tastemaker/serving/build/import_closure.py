"""Which files of a package a program needs: its imports, followed from where it begins.

An import at the top of a module is needed for the module to load. One inside a function or under
TYPE_CHECKING is not: its module comes along where all that it needs is there, and is left out where it needs
a package that is not, as a database driver of another command.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass
class _Imports:
    """What one module imports, by dotted name."""

    top: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)


def import_closure(
    root: Path, package: str, starts: Collection[str], distributions: Collection[str]
) -> set[Path]:
    """Return the files of a package that some of its modules need to run.

    Args:
        root: The package's folder.
        package: Its name.
        starts: Dotted names of the modules that the program begins with.
        distributions: What is installed where the program will run; what these require comes with them.

    Returns:
        Files below `root`: the modules, and data files that lie beside them, as a style sheet.

    Raises:
        ModuleNotFoundError: A module that is started, or one that it imports at its top, needs a package that
            no given distribution brings.
    """
    files = _modules(root, package)
    brought = required(distributions)
    importable = set(sys.stdlib_module_names) | {
        name
        for name, owners in packages_distributions().items()
        if not brought.isdisjoint(map(canonicalize_name, owners))
    }
    imports: dict[str, _Imports] = {}
    waiting = list(starts)
    while waiting:
        if (name := waiting.pop()) not in imports:
            imports[name] = _imports_of(name, files)
            waiting += (imports[name].top | imports[name].inside) & files.keys()
    lacking = {
        name: {each for each in found.top if each not in files and each.partition(".")[0] not in importable}
        for name, found in imports.items()
    }
    left_out = {name for name, missing in lacking.items() if missing}
    while more := {name for name in imports.keys() - left_out if imports[name].top & left_out}:
        left_out |= more
    if broken := left_out.intersection(starts):
        loaded = _reached(broken, {name: found.top for name, found in imports.items()})
        wanted = sorted(set().union(*(lacking[name] for name in loaded)))
        raise ModuleNotFoundError(f"{', '.join(sorted(broken))} can't be packed without {', '.join(wanted)}")
    kept = {name: found.top | found.inside for name, found in imports.items() if name not in left_out}
    found = {files[name] for name in _reached(starts, kept)}
    folders = {path.parent for path in found}
    return found | {
        path for folder in folders for path in folder.iterdir() if path.is_file() and path.suffix != ".py"
    }


def _reached(starts: Collection[str], imports: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names in `imports` that the starts lead to, the starts included."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in found and name in imports:
            found.add(name)
            waiting += imports[name]
    return found


def _modules(root: Path, package: str) -> dict[str, Path]:
    """Return the file of each module of a package, by the module's dotted name."""
    return {
        ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(root.rglob("*.py"))
    }


def _imports_of(name: str, files: Mapping[str, Path]) -> _Imports:
    """Return what a file imports: the package's modules with the packages above them, others as named."""
    found = _Imports()
    found.top.update(_parents(name))
    tree = ast.parse(files[name].read_text(encoding="utf-8"))
    top = {id(node) for node in _executed(tree)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{each.name}" for each in node.names]
            names = [each if each in files else node.module for each in names]
        for each in names:
            (found.top if id(node) in top else found.inside).update((each, *_parents(each)))
    return found


def _executed(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when the module is imported: not in functions, nor in TYPE_CHECKING."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]


def _parents(name: str) -> list[str]:
    """Return the packages that are imported before a module is."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def imported_from(package: str, folder: Path) -> set[str]:
    """Return the modules of a package that the files below a folder name in imports, dotted.

    Args:
        package: The name of the package, without dots.
        folder: The folder whose `.py` files are parsed, those of its subfolders too.

    Returns:
        Names as they are written: of `from a.b import c` it is `a.b`, whether or not `c` is a module.
    """
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] == package}


def required(names: Collection[str]) -> set[str]:
    """Return the distributions and all that they require, by canonical name, as far as they are installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needs = distribution(name).requires or ()
        except PackageNotFoundError:
            continue
        for line in needs:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name)
    return found
