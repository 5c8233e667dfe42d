"""The search space of a model's hyperparameters, declared in its config:

    class MyConfig(Config):
        epochs: Annotated[int, Field(ge=1), Search(5, 50, log=True)] = 15
        weights: Annotated[Literal["one", "log"], Choice("one", "log")] = "log"

A hyperparameter without such an annotation is not tuned. How the space is searched does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationError

Value = bool | int | float | str | None


class _Annotation:
    """Metadata of a field that appears in the config's JSON schema under `search`."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core_schema) | {"search": vars(self)}


@dataclass(frozen=True)
class Search(_Annotation):
    """A range of numbers to search, both ends included; whole numbers if the default is one."""

    low: float
    """The least value."""
    high: float
    """The greatest value."""
    log: bool = False
    """Search on a logarithmic scale: 1 to 10 as often as 10 to 100."""

    def __contains__(self, value: Value) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choice(_Annotation):
    """A set of values to search."""

    values: tuple[Value, ...]
    """The values."""

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)

    def __contains__(self, value: Value) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Space = dict[str, Search | Choice]


def search_space(config_type: type[BaseModel]) -> Space:
    """Return hyperparameter -> the values to search, in the order of the config.

    >>> from tastemaker_baselines.trending import TrendingConfig
    >>> search_space(TrendingConfig)
    {'half_life_days': Search(low=0.5, high=180, log=True)}
    """
    found = (
        (name, [one for one in field.metadata if isinstance(one, Search | Choice)])
        for name, field in config_type.model_fields.items()
    )
    return {name: spaces[-1] for name, spaces in found if spaces}


def find_mistakes(config_type: type[BaseModel]) -> list[str]:
    """Return the mistakes in a config's search space: a default outside of it, or invalid values."""
    defaults = config_type().model_dump()
    found = []
    for name, space in search_space(config_type).items():
        if defaults[name] not in space:
            found.append(
                f"{name} is {defaults[name]!r} by default, which its search space, {space}, leaves out"
            )
        if isinstance(space, Search) and (space.low >= space.high or (space.log and space.low <= 0)):
            found.append(
                f"{name} can't be searched from {space}: low < high, and 0 < low on a logarithmic scale"
            )
        for value in space.values if isinstance(space, Choice) else (space.low, space.high):
            try:
                config_type(**{name: value})
            except ValidationError as error:
                # Without a place it is refused only beside the defaults of others, such as low > high.
                found += [
                    f"{name} = {value!r} is in its search space but refused: {wrong['msg']}"
                    for wrong in error.errors()
                    if wrong["loc"]
                ]
    return found
