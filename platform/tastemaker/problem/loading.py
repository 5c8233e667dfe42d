"""Reading of problem files: all mistakes are reported at once, with their lines."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tastemaker.errors import ProblemError
from tastemaker.problem.positions import Positions, find_positions
from tastemaker.problem.rules import Mistake, broken_rules
from tastemaker.problem.spec import ProblemSpec
from tastemaker.problem.wording import in_words
from tastemaker.util.plain_yaml import plain_yaml


class ProblemFileError(ProblemError):
    """Error of a problem file with mistakes.

    Args:
        path: The problem file.
        mistakes: Each mistake with its line (1 is the first), in the order of the lines; also an attribute.
    """

    def __init__(self, path: FilePath, mistakes: list[tuple[int, Mistake]]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"{path} has {count}"]
        for line, mistake in mistakes:
            lines += [f"  line {line}: {mistake.problem}", f"    fix: {mistake.fix}"]
        super().__init__("\n".join(lines))


def load_problem(path: FilePath) -> ProblemSpec:
    """Read and validate a problem file.

    Args:
        path: The YAML file.

    Raises:
        ProblemFileError: The file has mistakes; the message gives the line, the value and the fix of each.
        ProblemError: The file can't be read, or is not valid YAML.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = FilePath(folder, "problem.yaml")
    ...     lines = "name: shop", "metrc: ndcg", "objectives:", "- name: sales", "  events: {purchase: {}}"
    ...     _ = path.write_text("\\n".join(lines))
    ...     try:
    ...         load_problem(path)
    ...     except ProblemFileError as error:
    ...         for line, mistake in error.mistakes:
    ...             print(f"line {line}: {mistake.problem}; {mistake.fix}")
    line 2: metrc = 'ndcg': there is no such key; did you mean metric?
    """
    text = _read(path)
    positions, data = _parse(path, text)
    if not isinstance(data, dict):
        found = "is empty" if data is None else f"holds {data!r:.60}"
        raise ProblemError(
            f"{path} {found}, must hold keys such as name and objectives",
            fix=f"run `tastemaker frame --file {path} --force` to write a new one",
        )
    mistakes = [*positions.duplicates, *broken_rules(data)]
    try:
        spec = ProblemSpec.model_validate(data)
    except ValidationError as error:
        mistakes += in_words(error)
    if mistakes:
        placed = [(positions.line(mistake.path), mistake) for mistake in mistakes]
        raise ProblemFileError(path, sorted(placed, key=lambda pair: pair[0]))
    return spec


def _read(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ProblemError(
            f"there is no problem file at {path}",
            fix="run `tastemaker frame` to write one, or set TASTEMAKER_PROBLEM to its path",
        ) from error
    except OSError as error:
        raise ProblemError(f"{path} can't be read: {error.strerror}", fix="name a readable file") from error
    except UnicodeDecodeError as error:
        raise ProblemError(
            f"{path} is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}",
            fix="save the file as UTF-8",
        ) from error


def _parse(path: FilePath, text: str) -> tuple[Positions, Any]:
    """Return the positions of all keys, and the plain data. Of a duplicated key the first value is kept."""
    yaml = plain_yaml()
    yaml.allow_duplicate_keys = True
    try:
        return find_positions(yaml.compose(text)), yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ProblemError(
            f"{path} is not valid YAML{where}: {error.problem or error.context}",
            fix="indent with spaces, write `key: value`, quote text that holds : # [ ] { } * & ! %",
        ) from error
    except RecursionError as error:
        raise ProblemError(
            f"{path} is nested too deeply", fix="write keys as in `tastemaker frame --show`"
        ) from error
    except YAMLError as error:
        raise ProblemError(
            f"{path} is not valid YAML: {error}", fix="save the file as plain UTF-8 text"
        ) from error
