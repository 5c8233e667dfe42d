"""Specifications are valid Vega-Lite, and each drawn chart shows its data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import altair
import pytest

from tastemaker.dashboard.charts.renderer import ChartRenderer, specification
from tastemaker.dashboard.charts.specs import ChartTick, lines, outer_size
from tastemaker.dashboard.charts.theme import SERIES, THEMES, Theme
from tastemaker.dashboard.content import Chart, DataTable, TableColumn
from tastemaker.errors import TastemakerError

BACKGROUND = {"light": "#ffffff", "dark": "#0d1117"}


def chart(series: list[str], **more: Any) -> Chart:
    columns = [TableColumn(name, name.title()) for name in ("day", "series", "value", "low", "high")]
    days = [date(2026, 7, 1) + timedelta(days=at) for at in range(5)]
    rows = [[day, name, 0.1, 0.05, 0.2] for name, day in itertools.product(series, days)]
    spec = lines("day", "value", unit="share", series="series", low="low", high="high", **more)
    return Chart("Clicks", "Clicks by day", spec, DataTable("clicks", "Clicks", columns, rows))


@pytest.fixture(scope="module")
def renderer() -> Iterator[ChartRenderer]:
    made = ChartRenderer()
    yield made
    made.close()


FIRST, LAST = date(2026, 7, 1), date(2026, 7, 28)
DEPLOY = ChartTick(date(2026, 7, 3), "promoted b")


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("more", [{}, {"domain": (0.0, 0.3), "days": (FIRST, LAST), "ticks": [DEPLOY]}])
def test_a_specification_is_valid_vega_lite(theme: Theme, more: dict[str, Any]) -> None:
    altair.LayerChart.from_dict(specification(chart(["a", "b"], **more), theme), validate=True)


@pytest.mark.processes
def test_a_drawn_chart_has_a_point_per_row_and_each_series_name(renderer: ChartRenderer) -> None:
    drawn = renderer.svg(chart(["als <b>", "popularity"]), "light")
    assert drawn.count('aria-roledescription="point"') == 10
    assert "als &lt;b&gt;" in drawn
    assert ">popularity</text>" in drawn
    assert "<b>" not in drawn


def drawn_lines(renderer: ChartRenderer, values: list[float | None], **more: Any) -> str:
    columns = [TableColumn(name, name.title()) for name in ("day", "value", "low", "high")]
    rows = [
        [FIRST + timedelta(days=at), one, one and one - 0.01, one and one + 0.01]
        for at, one in enumerate(values)
    ]
    spec = lines("day", "value", unit="share", low="low", high="high", days=(FIRST, LAST), **more)
    return renderer.svg(
        Chart("Clicks", "Clicks by day", spec, DataTable("clicks", "C", columns, rows)), "light"
    )


def path_of(drawn: str, role: str) -> str:
    """The only path of a mark."""
    (found,) = re.findall(rf'aria-roledescription="{role}"[^>]* d="([^"]*)"|$^', drawn)
    return str(found)


@pytest.mark.processes
def test_a_line_has_a_gap_on_days_without_a_figure(renderer: ChartRenderer) -> None:
    drawn = drawn_lines(renderer, [0.1, 0.11, None, None, 0.12, 0.1])
    assert path_of(drawn, "line mark").count("M") == 2
    assert drawn.count('aria-roledescription="point"') == 4
    assert "NaN" not in drawn


@pytest.mark.processes
def test_a_day_between_gaps_has_a_point_and_its_interval(renderer: ChartRenderer) -> None:
    series: list[list[float | None]] = [[0.1], [0.1, 0.11, None, 0.12, None, 0.1, 0.1]]
    for values in series:
        drawn = drawn_lines(renderer, values)
        assert drawn.count('aria-roledescription="rule mark"') == 1
        assert drawn.count('aria-roledescription="point"') == sum(one is not None for one in values)


@pytest.mark.processes
def test_deploys_are_lines_with_a_text(renderer: ChartRenderer) -> None:
    drawn = drawn_lines(renderer, [0.1, 0.11], ticks=[DEPLOY])
    assert "promoted b" in drawn


@pytest.mark.processes
def test_a_drawn_chart_has_the_size_that_the_page_reserves(renderer: ChartRenderer) -> None:
    for spec_of in (chart(["a", "a very long name of a version"]), chart(["a"], height=300)):
        width, height = outer_size(spec_of.spec)
        assert f'width="{width}" height="{height}"' in renderer.svg(spec_of, "light")


@pytest.mark.processes
def test_a_drawn_chart_is_kept(renderer: ChartRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = renderer.svg(chart(["kept"]), "light")
    monkeypatch.setattr(renderer, "_call", lambda *_: pytest.fail("it is drawn again"))
    assert renderer.svg(chart(["kept"]), "light") == first


@pytest.mark.processes
def test_a_chart_that_takes_too_long_is_given_up_and_the_next_one_is_drawn() -> None:
    renderer = ChartRenderer(timeout=0.01)
    with pytest.raises(TastemakerError, match=r"more than 0\.01 seconds"):
        renderer.svg(chart(["slow"]), "light")
    renderer._timeout = 60
    assert "<svg" in renderer.svg(chart(["next"]), "light")
    renderer.close()


@pytest.mark.parametrize("theme", THEMES)
def test_colours_of_series_have_enough_contrast(theme: Theme) -> None:
    """WCAG 2.2, 1.4.11: at least 3:1 for graphics."""
    for colour in SERIES[theme]:
        lighter, darker = sorted((luminance(colour), luminance(BACKGROUND[theme])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
