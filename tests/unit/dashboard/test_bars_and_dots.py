"""Bars and dots are valid Vega-Lite, and each drawn chart shows its data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import altair
import pytest

from tastemaker.dashboard.charts.agreement import forecast_dots
from tastemaker.dashboard.charts.bars import place_bars, stacked_bars
from tastemaker.dashboard.charts.dots import dots
from tastemaker.dashboard.charts.renderer import ChartRenderer, specification
from tastemaker.dashboard.charts.specs import lines
from tastemaker.dashboard.charts.theme import THEMES, Theme
from tastemaker.dashboard.content import Chart, DataTable, TableColumn

HOSTILE = "</text><script>x</script>"


def chart(spec: dict[str, Any], names: str, rows: list[list[Any]]) -> Chart:
    columns = [TableColumn(name, name) for name in names.split()]
    return Chart("Title", "Label", spec, DataTable("chart", "Title", columns, rows))


def stacked() -> Chart:
    spec = stacked_bars("until", ["retained", "resurrected", "new"], below="lost", title="28 days until")
    days = [date(2026, 7, 1) + timedelta(days=28 * n) for n in range(3)]
    return chart(spec, "until retained resurrected new lost", [[day, 500, 60, 100, 80] for day in days])


def places() -> Chart:
    spec = place_bars("place", "value", title="Position", unit="share", low="low", high="high", top=0.2)
    return chart(spec, "place value low high", [[n, 0.1 / n, 0.09 / n, 0.12 / n] for n in range(1, 6)])


def variants() -> Chart:
    spec = dots("name", "value", rows=3, unit="share", low="low", high="high")
    rows = [[name, 0.1, 0.08, 0.13] for name in ("A", "B", HOSTILE)]
    return chart(spec, "name value low high", rows)


def weeks() -> Chart:
    spec = lines("week", "value", unit="share", series="name", low="low", high="high", numbered="Week")
    rows = [[n, name, 0.1, 0.05, 0.2] for name in ("als", "ease") for n in range(4)]
    return chart(spec, "week name value low high", rows)


def forecasts() -> Chart:
    spec = forecast_dots("forecast", "outcome", low="low", high="high", series="method", name="name")
    rows = [[HOSTILE, method, at, at / 2, 0, at] for method in ("log", "backtest") for at in (0.1, 0.2, 0.3)]
    return chart(spec, "name method forecast outcome low high", rows)


CHARTS = {
    "stacked": (stacked, "bar", 12),
    "places": (places, "bar", 5),
    "variants": (variants, "point", 3),
    "weeks": (weeks, "point", 8),
    "forecasts": (forecasts, "point", 6),
}


@pytest.fixture(scope="module")
def renderer() -> Iterator[ChartRenderer]:
    made = ChartRenderer()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("kind", CHARTS)
def test_a_specification_is_valid_vega_lite(kind: str, theme: Theme) -> None:
    altair.LayerChart.from_dict(specification(CHARTS[kind][0](), theme), validate=True)


@pytest.mark.processes
@pytest.mark.parametrize("kind", CHARTS)
def test_a_drawn_chart_has_a_mark_per_figure(renderer: ChartRenderer, kind: str) -> None:
    make, mark, count = CHARTS[kind]
    drawn = renderer.svg(make(), "light")
    assert drawn.count(f'aria-roledescription="{mark}"') == count
    assert "<script" not in drawn


@pytest.mark.processes
def test_parts_stand_on_each_other_and_lost_users_hang_below_the_axis(renderer: ChartRenderer) -> None:
    """Heights are proportional to counts; the parts above the axis end where the next one begins."""
    found = re.findall(
        r'part: (\w+);[^"]*"[^>]* d="M[\d.]+,([\d.]+)h[\d.]+v([\d.]+)', renderer.svg(stacked(), "light")
    )
    bars = {part: (float(top), float(top) + float(height)) for part, top, height in found}
    pixels = {part: bottom - top for part, (top, bottom) in bars.items()}
    assert pixels["new"] / pixels["retained"] == pytest.approx(100 / 500)
    assert pixels["lost"] / pixels["retained"] == pytest.approx(80 / 500)
    axis = bars["retained"][1]
    assert bars["lost"][0] == pytest.approx(axis)
    assert bars["resurrected"][1] == pytest.approx(bars["retained"][0])
    assert bars["new"][1] == pytest.approx(bars["resurrected"][0])


@pytest.mark.processes
def test_a_day_is_the_same_day_in_every_time_zone(
    renderer: ChartRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    west = ChartRenderer()
    try:
        assert "1 Jul" in west.svg(stacked(), "light")
    finally:
        west.close()
