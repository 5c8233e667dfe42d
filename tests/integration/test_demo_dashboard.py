"""The demo's end: the sentence of Today, and a picture, with or without a browser."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from support.dashboard_homes import dashboard_engine, days_of, measurement
from support.servers import not_installed
from tastemaker.settings import load_settings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli import demo_dashboard

pytestmark = pytest.mark.servers


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], str]:
    """Returns what the end of the demo prints about a home with one version."""
    with dashboard_engine(tmp_path, [*days_of("als", "v1"), measurement("requests", 50, version="v1")]):
        pass

    def show() -> str:
        console = Console(file=io.StringIO(), width=300)
        demo_dashboard.show_dashboard(Workspace(load_settings(home=tmp_path)), console)
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    return show


def test_it_prints_the_sentence_and_where_the_picture_is(said: Callable[[], str], tmp_path: Path) -> None:
    if not any(map(shutil.which, demo_dashboard.BROWSERS)):
        not_installed("chromium")
    text = said()
    assert "als v1" in text
    assert "of lists are clicked" in text
    picture = tmp_path / "dashboard" / "today.png"
    assert str(picture) in text
    with Image.open(picture) as found:
        assert found.size == (1_280, 1_400)
        assert len(set(found.convert("L").tobytes())) > 10, "it is not blank"


def test_without_a_browser_it_prints_the_sentence(
    said: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_dashboard, "BROWSERS", ("no-such-browser",))
    assert "of lists are clicked" in said()
    assert not (tmp_path / "dashboard" / "today.png").exists()


@pytest.mark.parametrize("browser", ["false", "sleep"])
def test_a_browser_that_fails_or_hangs_does_no_harm(
    browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_dashboard, "BROWSERS", (browser,))
    monkeypatch.setattr(demo_dashboard, "FLAGS", ("5",) if browser == "sleep" else ())
    monkeypatch.setattr(demo_dashboard, "PICTURE_SECONDS", 0.2)
    assert demo_dashboard.take_picture("http://127.0.0.1:9/", tmp_path / "picture.png") is None
