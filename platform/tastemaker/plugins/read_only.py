"""Arrays that many models read and none may write to.

What one model writes to its input, all models after it would learn from. So every array is handed out as a
view that can't be written to: numpy and scipy raise ValueError where something tries. They don't notice all
of it (`np.add.at`, code in C, `setflags`); `untouched` finds that too, at the price of a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.errors import PluginError

ArrayT = TypeVar("ArrayT", bound=np.ndarray[Any, Any])
FIX = "write to a copy of it: array.copy() or matrix.copy()"
_PARTS = ("data", "indices", "indptr")


class ReadOnly:
    """A base of dataclasses: their arrays and CSR matrices become read-only views. Nothing is copied."""

    def __post_init__(self) -> None:
        own = vars(self)  # a frozen dataclass takes no other way
        for name, value in list(own.items()):
            if isinstance(value, np.ndarray):
                own[name] = read_only(value)
            elif isinstance(value, csr_array):
                own[name] = read_only_matrix(value)


def read_only(array: ArrayT) -> ArrayT:
    """Return a view of the array that can't be written to; the array itself, if it can't be either."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class ReadOnlyMatrix(csr_array):
    """A CSR matrix whose arrays can be neither written to nor replaced, once it is `fixed`.

    Whatever is computed from it, such as a copy, is a matrix like any other.
    """

    fixed = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self.fixed and name in (*_PARTS, "_shape", "fixed"):
            raise ValueError(f"{name} of this matrix is read-only")
        super().__setattr__(name, value)


def read_only_matrix(matrix: csr_array) -> ReadOnlyMatrix:
    """Return the matrix as one that can't be changed. It shares the arrays."""
    if isinstance(matrix, ReadOnlyMatrix) and matrix.fixed:
        return matrix
    fixed = ReadOnlyMatrix.__new__(ReadOnlyMatrix)
    own = vars(fixed)
    own.update(vars(matrix), fixed=True)  # its constructor would look at all numbers again
    for part in _PARTS:
        own[part] = read_only(own[part])
    return fixed


def arrays_in(value: object, path: str = "") -> dict[str, NDArray[Any]]:
    """Every array inside nested dataclasses and CSR matrices, by its path; what they cache, too."""
    if isinstance(value, np.ndarray):
        return {path: value}
    if isinstance(value, csr_array):
        parts = {part: getattr(value, part) for part in _PARTS}
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)} | vars(value)
    else:
        return {}
    return {
        name: array
        for part, inner in parts.items()
        for name, array in arrays_in(inner, f"{path}.{part}" if path else part).items()
    }


@contextmanager
def untouched(value: object, model: str, doing: str) -> Iterator[None]:
    """Raise PluginError, naming the arrays, if they are not what they were when the block ends.

    They are as they were before then: other models read them too.
    """
    arrays = arrays_in(value)
    before = {name: (array, array.copy()) for name, array in arrays.items() if not array.dtype.hasobject}
    try:
        yield
    finally:
        changed = [name for name, (array, was) in before.items() if array.tobytes() != was.tobytes()]
        for name in changed:
            _restore(*before[name])
    if changed:
        raise PluginError(f"model {model} wrote to {', '.join(changed)} in {doing}: read-only input", fix=FIX)


def _restore(array: NDArray[Any], was: NDArray[Any]) -> None:
    """Write past numpy's flag, as the model did."""
    alias = SimpleNamespace(
        __array_interface__={**array.__array_interface__, "data": (array.ctypes.data, False)}
    )
    np.asarray(alias)[...] = was
