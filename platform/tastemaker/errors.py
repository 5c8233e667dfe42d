"""The errors that are meant for people: each names the thing, the value, the limit and the fix."""

from __future__ import annotations


class TastemakerError(Exception):
    """Something that the user can mend. The command line prints it without a stack trace and exits with 2.

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
        """What a notebook shows instead of a stack trace; where the user's own code failed, its trace too."""
        told = f"{type(self).__name__}: {self}"
        if isinstance(self, PluginError) and self.__cause__ is not None:
            from traceback import format_exception

            return [*format_exception(self.__cause__), told]
        return [told]


class ProblemError(TastemakerError):
    """`problem.yaml` does not describe a problem."""


class SourceError(TastemakerError):
    """A source can't be read as the tables that it claims to hold."""


class GateError(TastemakerError):
    """A batch of data was refused by the gate."""


class PluginError(TastemakerError):
    """A model plugin can't be found, loaded, or trusted."""


class ArtifactError(TastemakerError):
    """A stored model is incomplete, altered or of another interface version."""


class RegistryError(TastemakerError):
    """A model version does not exist, or may not be promoted."""


class OffPolicyError(TastemakerError):
    """Logged data is malformed, or can't say what another policy would have earned."""
