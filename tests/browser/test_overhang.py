"""What the other tests measure with: how far a page hangs over, once nothing in it moves any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.browsers import WIDTHS, browsing, overhang

WIDE = '<div style="width: 900px">wide</div>'
SLIDES = """<style>
p { position: absolute; left: 0; width: 100px; }
@media (min-width: 1000px) { p { left: 1100px; width: 400px; animation: slide 0.4s forwards; } }
@keyframes slide { to { left: 0; } }
i { animation: turn 1s infinite; }
@keyframes turn { to { rotate: 360deg; } }
</style><p>slides in</p><i>turns</i>"""


@pytest.mark.parametrize(
    ("body", "over"),
    [(WIDE, {390: 518, 1_280: 0}), (SLIDES, {390: 0, 1_280: 0})],
    ids=["wide", "slides"],
)
def test_a_page_is_measured_at_rest(body: str, over: dict[int, float], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html><body>{body}</body></html>")
    with browsing(tmp_path / "browser") as browser:
        tab = browser.open(page.as_uri(), settle_ms=0)
        assert {width: overhang(tab, width) for width in WIDTHS} == over
