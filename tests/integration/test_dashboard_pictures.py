"""The pictures of the dashboard in the documentation show what its pages say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from support import dashboard_pictures as pictures

pytestmark = pytest.mark.servers

Scene = Callable[[Path], AbstractContextManager[str]]


@pytest.mark.parametrize(
    ("scene", "pages"),
    [
        pytest.param(pictures.planted, pictures.PLANTED, id="planted"),
        pytest.param(pictures.reported, pictures.REPORTED, id="reported"),
        pytest.param(pictures.computed, pictures.COMPUTED, id="computed", marks=pytest.mark.slow),
    ],
)
def test_a_picture_has_the_text_of_its_page(scene: Scene, pages: tuple[str, ...], tmp_path: Path) -> None:
    with scene(tmp_path) as url:
        for page in pages:
            text = pictures.text_of(httpx.get(f"{url}/{page}", timeout=60).text)
            assert pictures.drawn_text(page) == text, "draw it again: python docs/draw_dashboard.py"


def test_pictures_are_small() -> None:
    for page in (*pictures.PLANTED, *pictures.COMPUTED, *pictures.REPORTED):
        assert pictures.picture(page).stat().st_size < 100_000, page
