"""Draw docs/images/dashboard_*.png: python docs/draw_dashboard.py

Chromium takes the pictures of dashboards with fixed data at a fixed time, in Debian's DejaVu fonts. A test
compares the text of each page with that of its picture.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import dashboard_pictures as pictures
from support.browsers import Browser, browsing

WIDTH, HEIGHT = 1_280, 880
"""In pixels. What is further down is not in the picture."""


def draw(browser: Browser, url: str, name: str) -> None:
    """Draw one page."""
    address = f"{url}/{name}"
    text = pictures.text_of(httpx.get(address, timeout=60).text)
    page = browser.open(address, settle_ms=0)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.wait_for_load_state("networkidle")
    page.wait_for_function("[...document.images].every((one) => one.complete || one.loading == 'lazy')")
    drawn = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    pictures.save(drawn, name, text)


def main() -> None:
    """Draw all pages."""
    with tempfile.TemporaryDirectory() as folder, browsing(Path(folder) / "browser") as browser:
        with pictures.planted(Path(folder) / "planted") as url:
            for name in pictures.PLANTED:
                draw(browser, url, name)
        with pictures.computed(Path(folder) / "computed") as url:
            for name in pictures.COMPUTED:
                draw(browser, url, name)
        with pictures.reported(Path(folder) / "reported") as url:
            for name in pictures.REPORTED:
                draw(browser, url, name)


if __name__ == "__main__":
    main()
