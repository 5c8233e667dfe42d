"""Which values of a hyperparameter are worth trying, said where the hyperparameter is written.

    class MyConfig(Config):
        epochs: Annotated[int, Field(ge=1), Search(5, 50, log=True)] = 15
        weights: Annotated[Literal["one", "log"], Choice("one", "log")] = "log"

What has no such mark stays as it is. How the space is searched does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationError

Value = bool | int | float | str | None


class _Annotation:
    """Shown in the config's JSON schema under `search`."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core_schema) | {"search": vars(self)}


@dataclass(frozen=True)
class Search(_Annotation):
    """A number from `low` to `high`, both included; whole numbers if the default is one."""

    low: float
    high: float
    log: bool = False
    """Try factors alike instead of differences: 1 to 10 as often as 10 to 100."""

    def __contains__(self, value: Value) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choice(_Annotation):
    """One of a few values."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)

    def __contains__(self, value: Value) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Space = dict[str, Search | Choice]


def search_space(config_type: type[BaseModel]) -> Space:
    """Hyperparameter -> what is worth trying, in the order of the config."""
    found = (
        (name, [mark for mark in field.metadata if isinstance(mark, Search | Choice)])
        for name, field in config_type.model_fields.items()
    )
    return {name: marks[-1] for name, marks in found if marks}


def find_mistakes(config_type: type[BaseModel]) -> list[str]:
    """What is wrong with a config's search space: a default outside of it, or values that are refused."""
    defaults = config_type().model_dump()
    found = []
    for name, mark in search_space(config_type).items():
        if defaults[name] not in mark:
            found.append(
                f"{name} is {defaults[name]!r} by default, which its search space, {mark}, leaves out"
            )
        if isinstance(mark, Search) and (mark.low >= mark.high or (mark.log and mark.low <= 0)):
            found.append(
                f"{name} can't be searched from {mark}: low < high, and 0 < low on a logarithmic scale"
            )
        for value in mark.values if isinstance(mark, Choice) else (mark.low, mark.high):
            try:
                config_type(**{name: value})
            except ValidationError as error:
                found.append(
                    f"{name} = {value!r} is in its search space but refused: {error.errors()[0]['msg']}"
                )
    return found
