"""Public functions with more than one parameter describe what they take, return and raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.described_functions import packages, search

COMPLETE = '''
    """Return a share.

    Args:
        shown: Lists that were shown.
        clicked: Those with a click.

    Raises:
        ValueError: If none was shown.
    """
    if shown:
        return clicked / shown
    raise ValueError("no list was shown")
'''

FUNCTIONS: dict[str, tuple[str, list[str]]] = {
    "complete": (f"def share(shown: int, clicked: int) -> float:{COMPLETE}", []),
    "no docstring": (
        "def share(shown, clicked): ...",
        ["share: Args lacks shown, clicked", "share: it has no docstring"],
    ),
    "one parameter": ("def share(shown): ...", []),
    "private": ("def _share(shown, clicked): ...", []),
    "in a private class": ("class _A:\n    def share(self, shown, clicked): ...", []),
    "nested": ("def f():\n    def share(shown, clicked): ...", []),
    "a parameter more": (
        f"def share(shown: int, clicked: int, *, at: int) -> float:{COMPLETE}",
        ["share: Args lacks at"],
    ),
    "any number of values": (
        f"def share(shown: int, clicked: int, *names: int, **values: int) -> float:{COMPLETE}",
        ["share: Args lacks names, values"],
    ),
    "a parameter less": (
        f"def share(shown: int, at: int) -> float:{COMPLETE}",
        ["share: Args lacks at", "share: Args names clicked, which it does not have"],
    ),
    "a parameter's name in place of a description": (
        f"def share(shown: int, clicked: int) -> float:{COMPLETE.replace('Lists that were', 'The')}",
        ["share: Args only repeats the name of shown"],
    ),
    "a result": (
        f"def share(shown: int, clicked: int) -> float:{COMPLETE.replace('Return a', 'Compute the')}",
        ["share: Returns lacks float"],
    ),
    "no result": (
        f"def share(shown: int, clicked: int) -> None:{COMPLETE.replace('Return a', 'Store the')}",
        [],
    ),
    "an error of its own": (
        f"def share(shown: int, clicked: int) -> float:{COMPLETE.replace('ValueError:', 'KeyError:')}",
        ["share: Raises lacks ValueError"],
    ),
    "an error that is named after its module": (
        f"def share(shown: int, clicked: int) -> float:{COMPLETE.replace('raise V', 'raise errors.V')}",
        [],
    ),
    "an error that is caught and raised again": (
        "def share(shown: int, clicked: int) -> None:\n"
        '    """Store.\n\n    Args:\n        shown: Lists.\n        clicked: Those with a click.\n    """\n'
        "    try:\n        pass\n    except OSError as error:\n        raise error",
        [],
    ),
    "an error that it catches itself": (
        "def share(shown: int, clicked: int) -> None:\n"
        '    """Store.\n\n    Args:\n        shown: Lists.\n        clicked: Those with a click.\n    """\n'
        "    try:\n        if shown:\n            raise TypeError\n        raise ValueError\n"
        "    except (OSError, TypeError):\n        raise KeyError from None",
        ["share: Raises lacks KeyError, ValueError"],
    ),
    "a method": (
        "class A:\n    def share(self, shown, clicked): ...",
        ["A.share: Args lacks shown, clicked", "A.share: it has no docstring"],
    ),
    "a method that overrides one that is described": (
        "class B:\n    def share(self, shown: int, clicked: int) -> float:"
        + COMPLETE.replace("\n", "\n    ")
        + "\nclass A(B):\n    def share(self, shown: int, clicked: int) -> float:\n        return 1.0",
        [],
    ),
    "a constructor": ("class A:\n    def __init__(self, a, b): ...", ["A.__init__: Args lacks a, b"]),
    "a constructor whose class is described": (
        'class A:\n    """A.\n\n    Args:\n        a: One.\n        b: Two.\n    """\n\n'
        "    def __init__(self, a, b): ...",
        [],
    ),
    "fields": ("import dataclasses\n@dataclasses.dataclass\nclass A:\n    a: int\n    b: int", []),
    "a command": ("import click\n@click.command()\ndef share(shown, clicked): ...", []),
    "an asset": ("import dagster\n@dagster.asset\ndef share(shown, clicked): ...", []),
}
"""A module, and what its docstrings lack."""


@pytest.mark.parametrize(("source", "missing"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_is_missing(tmp_path: Path, source: str, missing: list[str]) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text(source)
    found = search({"shop": tmp_path}, tmp_path)
    assert [f"{one.function}: {one.part}" for one in found] == missing


def test_message_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("")
    (tmp_path / "shop/shares.py").write_text('\n\ndef share(a, b):\n    """Divide."""\n')
    assert [str(one) for one in search({"shop": tmp_path}, tmp_path)] == [
        "shop/shares.py:3: share: Args lacks a, b"
    ]


@pytest.mark.slow
def test_the_product_describes_them() -> None:
    found = [str(one) for one in search(packages())]
    assert found == [], "\n" + "\n".join(found)


def test_all_packages_are_searched() -> None:
    assert {
        *("tastemaker", "tastemaker_pipelines", "tastemaker_features", "tastemaker_expectations"),
        *("tastemaker_bandits", "tastemaker_baselines", "tastemaker_collaborative", "tastemaker_content"),
        "tastemaker_ranker",
    } == set(packages())
