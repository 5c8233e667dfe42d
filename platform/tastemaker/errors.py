"""Errors that users can fix: each message names the thing, the value, the limit and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class TastemakerError(Exception):
    """Base class of errors that users can fix.

    The command line prints the message without a stack trace and exits with 2.

    Args:
        problem: What is wrong: the thing, its value and the limit.
        fix: What to do about it, in the imperative.

    >>> raise TastemakerError("k is 0, must be at least 1", fix="pass --k 10")
    Traceback (most recent call last):
        ...
    tastemaker.errors.TastemakerError: k is 0, must be at least 1
      fix: pass --k 10
    """

    def __init__(self, problem: str, *, fix: str | None = None) -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(problem if fix is None else f"{problem}\n  fix: {fix}")

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message, after the stack trace of a plugin's own failure."""
        message = f"{type(self).__name__}: {self}"
        if isinstance(self, PluginError) and self.__cause__ is not None:
            from traceback import format_exception

            return [*format_exception(self.__cause__), message]
        return [message]


class ProblemError(TastemakerError):
    """Error in a problem file or in an answer to `tastemaker frame`."""


class SourceError(TastemakerError):
    """Error in a data source, or in data that is too short or too small for the problem."""


class NoTestUsersError(SourceError):
    """Error of a test period in which no user turned to a known item, so that no model can be evaluated."""


class GateError(TastemakerError):
    """Error of a batch of data that failed validation."""


class UnknownNameError(TastemakerError):
    """Error of a name, such as that of a page's address, that nothing has."""


class PluginError(TastemakerError):
    """Error in a model plugin: not found, not loadable, or with an invalid answer."""


class ArtifactError(TastemakerError):
    """Error in a stored file: incomplete, altered or of another format version."""


class RegistryError(TastemakerError):
    """Error about a model version that does not exist or may not be promoted."""


class OffPolicyError(TastemakerError):
    """Error in logged data that is malformed or can't support an off-policy estimate."""


def in_words(error: ValidationError) -> str:
    """Return what Pydantic refused, one line per mistake, as a part of a message."""
    return "\n    ".join(mistake(wrong) for wrong in error.errors(include_url=False))


def mistake(wrong: ErrorDetails, *, shows_value: bool = True) -> str:
    """Return one mistake in words.

    Args:
        wrong: The mistake, as Pydantic gives it.
        shows_value: Whether the value is shown; False where it may be a secret.

    Returns:
        The key, its value if it has one, and what is allowed; only the last if several keys disagree.
    """
    said = wrong["msg"].removeprefix("Value error, ")
    if not wrong["loc"]:
        return said
    value = f" = {wrong['input']!r}" if shows_value and wrong["type"] != "missing" else ""
    return f"{'.'.join(map(str, wrong['loc']))}{value}: {said}"
