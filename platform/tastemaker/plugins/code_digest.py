"""A digest of a model's code, by which a changed model is recognized."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from tastemaker.plugins.recommender import Recommender

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_parsing = threading.Lock()
"""CPython counts a syntax tree's depth for all threads together: two that parse may raise SystemError."""


def code_digest(model: type[Recommender[Any]]) -> str:
    """Hash the modules of a model's own package that the model imports, directly or through each other.

    Only what runs counts: comments, layout and docstrings change nothing, and neither does a module that the
    model does not import, such as another model of the same family. Code of other packages is not read: the
    platform's own is counted by `EVALUATION_VERSION`.

    Returns:
        32 hexadecimal digits.
    """
    digest = blake2b(digest_size=16)
    with _parsing:
        for name, path in sorted(_modules(model.__module__).items()):
            digest.update(f"{name}\0{_meaning(path)}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _modules(start: str) -> dict[str, Path]:
    """Return name -> file of each module of the same top-level package that `start` imports."""
    package = start.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _file(name)
        if path is not None:
            found[name] = path
            imported = _imported(name, path)
            waiting += [each for each in imported if each == package or each.startswith(f"{package}.")]
    return found


def _file(name: str) -> Path | None:
    """Return a module's Python file; None if the name is not a module, such as a class in an import."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _imported(name: str, path: Path) -> Iterator[str]:
    """Yield the absolute names after `import` and `from`; each may be a module or something inside one."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    yield name.rpartition(".")[0]  # importing a module runs its package first
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _meaning(path: Path) -> str:
    """Return the syntax tree without positions and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
