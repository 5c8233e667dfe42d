"""What Pydantic refuses, in words: every key, its value, and nothing of Pydantic's own wording around it."""

from __future__ import annotations

from typing import Any, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tastemaker.errors import in_words, mistake


class Inner(BaseModel):
    size: int = Field(default=1, ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    low: int
    high: int = 10
    inner: list[Inner] = []

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must be at most high")
        return self


def refused(**given: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer(**given)
    return caught.value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "low: Field required"),
        ({"low": 11}, "low must be at most high"),
        (
            {"low": "x", "width": 3, "inner": [{}, {"size": 0}]},
            "low = 'x': Input should be a valid integer, unable to parse string as an integer\n"
            "    inner.1.size = 0: Input should be greater than or equal to 1\n"
            "    width = 3: Extra inputs are not permitted",
        ),
    ],
    ids=["missing", "together", "each"],
)
def test_a_line_names_the_key_its_value_and_the_limit(given: dict[str, Any], said: str) -> None:
    assert in_words(refused(**given)) == said


def test_a_value_that_may_be_a_secret_is_not_shown() -> None:
    [wrong] = refused(low="hunter2").errors()
    assert "hunter2" in mistake(wrong)
    assert "hunter2" not in mistake(wrong, shows_value=False)
