"""The plugin API's documentation: its examples run, and public names describe their arguments."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tastemaker import plugins

MODULES = sorted(module.name for module in pkgutil.walk_packages(plugins.__path__, "tastemaker.plugins."))
WITH_EXAMPLES = [
    *("arrays", "attributes", "preferences", "read_only", "recommender", "search_space", "seeded_random"),
    "selection",
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    done = doctest.testmod(importlib.import_module(f"tastemaker.plugins.{name}"))
    assert done.attempted > 0
    assert done.failed == 0


def test_every_module_with_examples_is_listed() -> None:
    found = [
        name.removeprefix("tastemaker.plugins.")
        for name in MODULES
        if ">>> " in inspect.getsource(importlib.import_module(name))
    ]
    assert found == WITH_EXAMPLES


@pytest.mark.parametrize("name", plugins.__all__)
def test_public_names_say_what_they_take(name: str) -> None:
    """A docstring names every parameter of a function or method with more than one."""
    for function in functions(getattr(plugins, name)):
        text = inspect.getdoc(function)
        assert text, f"{function.__qualname__} has no docstring"
        wanted = [each for each in inspect.signature(function).parameters if each not in ("self", "cls")]
        if len(wanted) > 1:
            missing = [each for each in wanted if f"\n    {each}: " not in text]
            assert missing == [], f"{function.__qualname__} does not describe {missing}"


def functions(value: Any) -> Iterator[FunctionType]:
    """Yield a function, or the public methods that a class defines."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type) and value.__module__.startswith("tastemaker."):
        for name, member in vars(value).items():
            inner = getattr(member, "__func__", member)
            if not name.startswith("_") and isinstance(inner, FunctionType):
                yield inner


def test_modules_say_what_they_are() -> None:
    for name in MODULES:
        module: ModuleType = importlib.import_module(name)
        assert module.__doc__, f"{name} has no docstring"
