"""`tastemaker` itself: what it says when a command can't do its work."""

from __future__ import annotations

import sys

import pytest

from tastemaker.cli import main
from tastemaker.errors import TastemakerError


def run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The console script, with a command that raises."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "cli", fail)
    monkeypatch.setattr(sys, "argv", ["tastemaker"])
    main.main()


def test_a_mistake_is_one_line_and_its_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, TastemakerError("k is 0", fix="pass --k 10"))
    assert capsys.readouterr().err == "error: k is 0\n  fix: pass --k 10\n"


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("dagster", ["pipelines"]),
        ("great_expectations.core", ["pipelines"]),
        ("ibis", ["data", "pipelines", "simulation", "tuning"]),
        ("evidently", ["monitoring"]),
        ("bentoml", ["serving"]),
    ],
)
def test_what_is_not_installed_is_named_with_the_extras_that_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, extras: list[str]
) -> None:
    assert main.extras_with(module) == extras
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, ModuleNotFoundError(name=module))
    said = capsys.readouterr().err
    assert said.startswith(f"error: this needs {module}, which is not installed\n  fix: install an extra")
    assert "tastemaker[" + extras[0] + "]" in said


def test_a_module_that_no_extra_brings_is_a_bug_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(monkeypatch, ModuleNotFoundError(name="tastemaker.nowhere"))
