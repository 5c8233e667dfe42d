"""Which public functions with more than one parameter have docstrings that are not complete.

`python tests/support/described_functions.py [PATH ...]` lists what is missing, in all files
or in those whose path begins so. docs/dev/naming.md has the rules.
"""

from __future__ import annotations

import ast
import logging
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import griffe

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = ("platform", "pipelines", "feature_repo", "expectations", "models/*")
"""Folders with packages of the product."""

_RETURN_TYPES_OF_NOTHING = {"None", "NoReturn", "Never"}
_SAYS_WHAT_IT_RETURNS = re.compile(r"\b(returns?|yields?)\b", re.IGNORECASE)
_REPEATS = re.compile(r"^(an?|the|its|their) |[.]$", re.IGNORECASE)
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class MissingPart(NamedTuple):
    """A part that a docstring lacks."""

    path: str
    """Relative to the repository, with `/`."""
    line: int
    function: str
    """Its name, after that of its class."""
    part: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.function}: {self.part}"


def packages(root: Path = ROOT) -> dict[str, Path]:
    """Return the folder of each package of the product, by its name."""
    folders = (folder for project in PROJECTS for folder in sorted(root.glob(f"{project}/tastemaker*")))
    return {folder.name: folder.parent for folder in folders if folder.is_dir()}


def load(folders: dict[str, Path]) -> list[griffe.Module]:
    """Parse packages, none of which is imported, given the folder that each is in."""
    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # what it warns of is reported here
    loader = griffe.GriffeLoader(search_paths=list(folders.values()), allow_inspection=False)
    for name in folders:
        loader.load(name)
    loader.resolve_aliases(implicit=False, external=False)
    return [module for name, module in loader.modules_collection.members.items() if name in folders]


def public_functions(found: griffe.Module | griffe.Class) -> Iterator[griffe.Function]:
    """Yield the public functions and methods that are written in a module or class, and below it.

    A constructor is one; one that a decorator such as `dataclass` makes is not.
    """
    for member in found.members.values():
        if member.is_alias or (member.name.startswith("_") and member.name not in ("__init__", "__main__")):
            continue
        if isinstance(member, griffe.Function):
            if member.lineno:
                yield member
        elif isinstance(member, griffe.Module | griffe.Class):
            yield from public_functions(member)


def missing_parts(function: griffe.Function) -> Iterator[str]:
    """Yield what the docstring of a function lacks; nothing where it needs no sections."""
    parameters = [each.name for each in function.parameters if each.name not in ("self", "cls")]
    if len(parameters) < 2 or _is_described_elsewhere(function):
        return
    sections = _sections(function)
    described = _described(function)
    if function.name == "__init__" and isinstance(function.parent, griffe.Class):
        described = _described(function.parent) | described
    elif function.docstring is None:
        yield "it has no docstring"
    if missing := [name for name in parameters if name not in described]:
        yield f"Args lacks {', '.join(missing)}"
    if empty := [name for name, text in described.items() if _REPEATS.sub("", text).lower() == _words(name)]:
        yield f"Args only repeats the name of {', '.join(empty)}"
    if unknown := sorted(described.keys() - set(parameters)):
        yield f"Args names {', '.join(unknown)}, which it does not have"
    if not ({griffe.DocstringSectionKind.returns, griffe.DocstringSectionKind.yields} & sections.keys()) and (
        str(function.returns or "None") not in _RETURN_TYPES_OF_NOTHING
        and not _SAYS_WHAT_IT_RETURNS.search(_summary(function))
    ):
        yield f"Returns lacks {function.returns}"
    raises = sections.get(griffe.DocstringSectionKind.raises)
    named = {str(each.annotation).rpartition(".")[-1] for each in raises.value} if raises else set()
    if lacking := sorted(raised(function) - named):
        yield f"Raises lacks {', '.join(lacking)}"


def raised(function: griffe.Function) -> set[str]:
    """Return the names of the exceptions that a function's own statements raise and do not catch."""
    return _raised(ast.parse(textwrap.dedent(function.source)).body[0])


def search(folders: dict[str, Path], root: Path = ROOT) -> list[MissingPart]:
    """Return what the docstrings of packages lack, by file and line.

    Args:
        folders: The folder that each package is in.
        root: What paths are relative to.
    """
    found = []
    for module in load(folders):
        for function in public_functions(module):
            assert isinstance(function.filepath, Path)
            path = function.filepath.relative_to(root).as_posix()
            name = function.path.removeprefix(f"{function.module.path}.")
            found += [MissingPart(path, function.lineno or 0, name, part) for part in missing_parts(function)]
    return sorted(found)


def _is_described_elsewhere(function: griffe.Function) -> bool:
    """Whether a base class describes it, or it is a command or an asset, whose text users read."""
    for decorator in function.decorators:
        package, _, name = decorator.callable_path.rpartition(".")
        if name in ("command", "group") or package == "dagster":
            return True
    if not isinstance(function.parent, griffe.Class) or function.name == "__init__":
        return False
    bases = (base.members.get(function.name) for base in function.parent.mro())
    return any(isinstance(base, griffe.Function) and _described(base) for base in bases)


def _raised(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Raise):
        name = _name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        return {name} if name[:1].isupper() else set()  # else a variable, or a function that makes an error
    nodes, found = list(ast.iter_child_nodes(node)), set[str]()
    if isinstance(node, ast.Try):
        types = [handler.type for handler in node.handlers]
        caught = [each for one in types for each in (one.elts if isinstance(one, ast.Tuple) else [one])]
        found = _raised(ast.Module(node.body, [])) - set(map(_name, caught))
        nodes = [*node.handlers, *node.orelse, *node.finalbody]
    return found.union(*(_raised(each) for each in nodes if not isinstance(each, _NESTED)))


def _name(error: ast.AST | None) -> str:
    return error.attr if isinstance(error, ast.Attribute) else getattr(error, "id", "")


def _sections(
    found: griffe.Function | griffe.Class,
) -> dict[griffe.DocstringSectionKind, griffe.DocstringSection]:
    if found.docstring is None:
        return {}
    return {section.kind: section for section in found.docstring.parse(griffe.Parser.google)}


def _described(found: griffe.Function | griffe.Class) -> dict[str, str]:
    """Return the description of each parameter in Args."""
    section = _sections(found).get(griffe.DocstringSectionKind.parameters)
    return {each.name.lstrip("*"): each.description for each in section.value} if section else {}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _summary(function: griffe.Function) -> str:
    return function.docstring.value.partition("\n\n")[0] if function.docstring else ""


def main(paths: Iterable[str]) -> int:
    """Print what is missing; return how much of it there is."""
    prefixes = tuple(paths) or ("",)
    found = [one for one in search(packages()) if one.path.startswith(prefixes)]
    for one in found:
        print(one)
    print(f"{len(found)} parts are missing", file=sys.stderr)
    return len(found)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
