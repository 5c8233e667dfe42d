"""Where a model's own code failed, for who has to mend it: file, line, and the array if it wrote to one."""

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
"""What numpy, scipy and Cython say of an array that can't be written to has one of these in it."""


METHODS = {"explain": "contributions"}
"""What a model is asked to do -> its method, where that is called otherwise."""
_UNNAMED = "an array that it was given"


class Place(NamedTuple):
    """A point in a model's code."""

    frame: FrameType
    line: int
    last: int
    """The bytecode instruction that was at work, as an offset."""

    def __str__(self) -> str:
        path = self.frame.f_code.co_filename
        source = linecache.getline(path, self.line).strip()
        return f"{_named(path)}, line {self.line}" + (f": {source}" if source else "")

    @property
    def statement(self) -> str:
        """The part of the source that was at work, or the whole line; empty without a source."""
        path, positions = self.frame.f_code.co_filename, [*self.frame.f_code.co_positions()]
        first, last, start, end = positions[self.last // 2]
        if first is None or last is None or start is None or end is None:
            return linecache.getline(path, self.line).strip()
        lines = [linecache.getline(path, number).encode() for number in range(first, last + 1)]
        lines[-1] = lines[-1][:end]  # columns are bytes
        lines[0] = lines[0][start:]
        return b"".join(lines).decode(errors="replace").strip()


def blamed(error: BaseException, model: str, kind: type, doing: str, **given: object) -> PluginError:
    """The error as the model's own failure: what it raised, and at which line of its code.

    Where it wrote to its input, the array is named too, as a part of one of the inputs that it was `given`.
    Of an error that was raised before any line of its code, such as for a missing parameter, the method of
    its class `kind` is named.
    """
    said = described(error, **given)
    if place_of(error) is None:
        said += f" ({written_at(kind, METHODS.get(doing, doing))})"
    return PluginError(f"model {model} failed to {doing}: {said}", fix=FIX if wrote(error) else remedy(kind))


def described(error: BaseException, **given: object) -> str:
    """What went wrong and where, in a line: see `blamed`."""
    place = _place(error.__traceback__)
    at = "" if place is None else f" ({place})"
    if not wrote(error):
        return f"{type(error).__name__}: {error}{at}"
    array = _UNNAMED if place is None else _written(place, given)
    return f"it writes to {array}, which is read-only{at}"


def remedy(model: type) -> str:
    """What a person does about a model that fails: of an installed one, the checks say more."""
    if model.__module__ == "__main__":  # a notebook's cell, or a script
        return "mend it there"
    return f"run `tastemaker models check {getattr(model, 'name', model.__name__)}`"


def place_of(error: BaseException) -> str | None:
    """The innermost line of a model's own code that an error came through; None if it came through none."""
    place = _place(error.__traceback__)
    return None if place is None else str(place)


def written_at(model: type, method: str) -> str:
    """Where a method of a class is written, in the form of `place_of`."""
    code = getattr(getattr(model, method, None), "__code__", None)
    if not isinstance(code, CodeType):
        return f"{model.__module__}.{model.__qualname__}"
    source = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return f"{_named(code.co_filename)}, line {code.co_firstlineno}" + (f": {source}" if source else "")


def _named(path: str) -> str:
    """The file, or the notebook's cell as the notebook calls it."""
    python: Any = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    cell = None if shell is None else shell.compile.format_code_name(path)
    return path if cell is None else " ".join(cell)


def wrote(error: BaseException) -> bool:
    """Whether it was raised for an attempt to write to an array that is read-only."""
    return isinstance(error, (ValueError, TypeError)) and any(said in str(error) for said in _REFUSALS)


def _place(trace: TracebackType | None) -> Place | None:
    """The innermost frame of a model's package; None where only the platform's own code failed."""
    packages = {_package(kind.__module__) for kind in _descendants(Recommender)} - {"tastemaker"}
    found = None
    while trace is not None:
        if _package(str(trace.tb_frame.f_globals.get("__name__", ""))) in packages:
            found = Place(trace.tb_frame, trace.tb_lineno, trace.tb_lasti)
        trace = trace.tb_next
    return found


def _package(module: str) -> str:
    return module.partition(".")[0]


def _descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _written(place: Place, given: dict[str, object]) -> str:
    """What is written to there: the name that the code has for it, and that of the input that it is."""
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
    """The names and attributes in a piece of code, as written: first what it assigns to, then the longest."""
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
    """What names and attributes joined by dots stand for in a frame; None if that can't be told."""
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
