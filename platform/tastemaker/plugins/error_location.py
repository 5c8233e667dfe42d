"""Errors of a model's code, located: the file and line, and the read-only array that it tried to write to."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins.read_only import FIX, arrays_in
from tastemaker.plugins.recommender import Recommender

_REFUSALS = ("read-only", "WRITEABLE")
"""Words of the errors that numpy, scipy and Cython raise for a write to a read-only array."""


METHODS = {"explain": "contributions"}
"""Operation -> the method that does it, where the names differ."""
_UNNAMED = "an array that it was given"


class CodeLocation(NamedTuple):
    """A point in a model's code."""

    frame: FrameType
    line: int
    last: int
    """The offset of the bytecode instruction that ran."""

    def __str__(self) -> str:
        path = self.frame.f_code.co_filename
        source = linecache.getline(path, self.line).strip()
        return f"{_named(path)}, line {self.line}" + (f": {source}" if source else "")

    @property
    def statement(self) -> str:
        """Return the part of the source that ran, or the whole line; empty without a source."""
        path, positions = self.frame.f_code.co_filename, [*self.frame.f_code.co_positions()]
        first, last, start, end = positions[self.last // 2]
        if first is None or last is None or start is None or end is None:
            return linecache.getline(path, self.line).strip()
        lines = [linecache.getline(path, number).encode() for number in range(first, last + 1)]
        lines[-1] = lines[-1][:end]  # columns are bytes
        lines[0] = lines[0][start:]
        return b"".join(lines).decode(errors="replace").strip()


def plugin_error(error: BaseException, model: str, kind: type, doing: str, **given: object) -> PluginError:
    """Return an error as the model's own failure, with the line of its code that raised it.

    Args:
        error: What the model raised. If no line of its code was reached, as for a missing parameter, the
            method is named instead.
        model: The model's name.
        kind: The model's class.
        doing: The operation: fit, recommend, embed, explain or update.
        given: The inputs by name: an array that the model tried to write to is named as a part of one.
    """
    said = describe_error(error, **given)
    if locate_error(error) is None:
        said += f" ({locate_method(kind, METHODS.get(doing, doing))})"
    return PluginError(
        f"model {model} failed to {doing}: {said}",
        fix=FIX if is_write_to_read_only(error) else suggest_fix(kind),
    )


def describe_error(error: BaseException, **given: object) -> str:
    """Return in one line what went wrong, and where.

    The place is the innermost line of the model's own code; the line has none if no such code was reached.

    Args:
        error: What the model raised.
        given: The inputs by name: an array that the model tried to write to is named as a part of one.
    """
    place = _place(error.__traceback__)
    at = "" if place is None else f" ({place})"
    if not is_write_to_read_only(error):
        return f"{type(error).__name__}: {error}{at}"
    array = _UNNAMED if place is None else _written(place, given)
    return f"it writes to {array}, which is read-only{at}"


def suggest_fix(model: type) -> str:
    """Return what to do about a model that fails: for an installed one, run the checks."""
    if model.__module__ == "__main__":  # a notebook's cell, or a script
        return "correct that line"
    return f"run `tastemaker models check {getattr(model, 'name', model.__name__)}`"


def locate_error(error: BaseException) -> str | None:
    """Return the innermost line of a model's own code in an error's traceback; None if there is none."""
    place = _place(error.__traceback__)
    return None if place is None else str(place)


def locate_method(model: type, method: str) -> str:
    """Return where a method of a class is defined, in the form of `locate_error`.

    Args:
        model: The class of a model.
        method: The name of the method.
    """
    code = getattr(getattr(model, method, None), "__code__", None)
    if not isinstance(code, CodeType):
        return f"{model.__module__}.{model.__qualname__}"
    source = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return f"{_named(code.co_filename)}, line {code.co_firstlineno}" + (f": {source}" if source else "")


def _named(path: str) -> str:
    """Return the file, or the name that the notebook shows for a cell."""
    python: Any = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    cell = None if shell is None else shell.compile.format_code_name(path)
    return path if cell is None else " ".join(cell)


def is_write_to_read_only(error: BaseException) -> bool:
    """Return whether the error was raised for an attempt to write to a read-only array."""
    return isinstance(error, (ValueError, TypeError)) and any(said in str(error) for said in _REFUSALS)


def _place(trace: TracebackType | None) -> CodeLocation | None:
    """Return the innermost frame of a model's package; None where only the platform's own code failed."""
    packages = {_package(kind.__module__) for kind in _descendants(Recommender)} - {"tastemaker"}
    found = None
    while trace is not None:
        if _package(str(trace.tb_frame.f_globals.get("__name__", ""))) in packages:
            found = CodeLocation(trace.tb_frame, trace.tb_lineno, trace.tb_lasti)
        trace = trace.tb_next
    return found


def _package(module: str) -> str:
    return module.partition(".")[0]


def _descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _written(place: CodeLocation, given: dict[str, object]) -> str:
    """Return the name of the array that is written to, in the model's code and among its inputs."""
    inputs = {name: array for word, value in given.items() for name, array in arrays_in(value, word).items()}
    named = {name: _arrays(_value(name, place.frame)) for name in _names(place.statement)}
    refusing = {
        name: array for name, arrays in named.items() for array in arrays if not array.flags.writeable
    }
    for name, array in refusing.items():
        for path, values in inputs.items():
            if np.may_share_memory(array, values):
                return path if name == path else f"{name} ({path})"
    return next(iter(refusing), _UNNAMED)


def _names(source: str) -> list[str]:
    """Return the names and attributes in a piece of code: first what it assigns to, then the longest."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the head of a longer statement, such as an if
        return []
    targets: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AugAssign):
            targets.append(node.target)
        elif isinstance(node, ast.keyword) and node.arg == "out":
            targets.append(node.value)
    first = {id(part) for target in targets for part in ast.walk(target)}
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))]
    found.sort(key=lambda node: (id(node) not in first, -len(ast.unparse(node))))
    return [ast.unparse(node) for node in found]


def _value(name: str, frame: FrameType) -> object:
    """Evaluate a dotted name in a frame; None if it can't be evaluated."""
    first, *rest = name.split(".")
    value = frame.f_locals.get(first, frame.f_globals.get(first))
    try:
        for attribute in rest:
            value = getattr(value, attribute)
    except Exception:  # a property may raise anything, and a name may hold a call
        return None
    return value


def _arrays(value: object) -> list[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        return [value]
    return [value.data, value.indices, value.indptr] if isinstance(value, csr_array) else []
