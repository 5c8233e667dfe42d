"""Read-only arrays: models share their input, so no model may write to it.

Every array is passed as a view that can't be written to: numpy and scipy raise ValueError for a write. They
miss some writes (`np.add.at`, code in C, `setflags`); `untouched` finds those too, by comparing with a copy.
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
    """A base class of dataclasses whose arrays and CSR matrices become read-only views. Nothing is copied."""

    def __post_init__(self) -> None:
        own = vars(self)  # a frozen dataclass takes no other way
        for name, value in list(own.items()):
            if isinstance(value, np.ndarray):
                own[name] = read_only(value)
            elif isinstance(value, csr_array):
                own[name] = read_only_matrix(value)


def read_only(array: ArrayT) -> ArrayT:
    """Return a read-only view of an array, or the array itself if it is read-only.

    >>> read_only(np.zeros(2)).flags.writeable
    False
    """
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class ReadOnlyMatrix(csr_array):
    """A CSR matrix whose arrays can be neither written to nor replaced once `fixed` is set.

    Results computed from it, such as a copy, are ordinary matrices.
    """

    fixed = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self.fixed and name in (*_PARTS, "_shape", "fixed"):
            raise ValueError(f"{name} of this matrix is read-only")
        super().__setattr__(name, value)


def read_only_matrix(matrix: csr_array) -> ReadOnlyMatrix:
    """Return a read-only matrix that shares the arrays of `matrix`."""
    if isinstance(matrix, ReadOnlyMatrix) and matrix.fixed:
        return matrix
    fixed = ReadOnlyMatrix.__new__(ReadOnlyMatrix)
    own = vars(fixed)
    own.update(vars(matrix), fixed=True)  # its constructor would look at all numbers again
    for part in _PARTS:
        own[part] = read_only(own[part])
    return fixed


def arrays_in(value: object, path: str = "") -> dict[str, NDArray[Any]]:
    """Return every array inside nested dataclasses and CSR matrices, cached properties included.

    Args:
        value: An array, CSR matrix or dataclass; anything else has no arrays.
        path: The name of `value`, with which the paths begin.

    Returns:
        Path, such as `data.events.items`, -> the array.
    """
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
    """Restore arrays that change within the block, and raise an error that names them.

    Args:
        value: What holds the arrays, as in `arrays_in`. Arrays of Python objects are not looked at.
        model: The model's name, for the message.
        doing: The operation, for the message.

    Yields:
        None. If the block raises, the arrays are restored, and its own error passes.

    Raises:
        PluginError: An array changed within the block.
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
    """Write to an array in spite of its read-only flag."""
    alias = SimpleNamespace(
        __array_interface__={**array.__array_interface__, "data": (array.ctypes.data, False)}
    )
    np.asarray(alias)[...] = was
