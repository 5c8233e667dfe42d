"""Engagement, Catalogue, Retention, Churn, Experiments and Definitions: pages show what SQL says."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from support import product_figures as figures
from support.dashboard_homes import DAY, dashboard_client, measurement, midnight
from tastemaker.dashboard.formats import number
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

HOSTILE = "<script>alert('x')</script>"
PAGES = ("engagement", "catalogue", "retention", "churn", "experiments", "definitions")


def shop() -> list[dict[str, Any]]:
    """Figures on every page."""
    return [
        *figures.engagement("v1", before=0.8),
        *figures.engagement("v2", scale=0.5, n=400),
        *figures.catalogue("v1"),
        *figures.growth(),
        *figures.retention(small=5),
        *figures.retention(model="als", version="v1"),
        *figures.variants(A=0.1, B=0.12),
    ]


def sql(home: Path, statement: str, **values: Any) -> list[Any]:
    """Rows of a query of the database, which knows nothing of the dashboard."""
    engine = open_engine(load_settings(home=home).metadata_url)
    with engine.connect() as connection:
        found = connection.execute(text(statement), values).all()
    engine.dispose()
    return list(found)


def table(client: TestClient, page: str, name: str, **filters: str) -> list[dict[str, str]]:
    """A page's CSV file."""
    answer = client.get(f"/blocks/{page}/{name}.csv", params=filters)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def summary(client: TestClient, page: str, **filters: str) -> str:
    """A page's first sentences."""
    document = client.get(f"/{page}", params=filters).text
    found = re.search(r'<p class="summary">(.*?)</p>', document, re.DOTALL)
    assert found
    return unescape(found[1])


@pytest.mark.slow
def test_engagement_shows_the_newest_figures_of_the_period(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        for period in ("7", "28", "90"):
            page = client.get("/engagement", params={"period": period}).text
            rows = table(client, "engagement", "figures", period=period)
            stored = sql(
                tmp_path,
                "SELECT version, slice, value, low, high, n FROM measurements "
                "WHERE model = 'als' AND experiment = '' "
                "AND (metric IN ('ctr_list', 'ctr_impression', 'reward_per_request', 'hours_to_first_click', "
                "'lists_per_user_day', 'ctr_by_position') OR metric LIKE 'rewarded_events%') "
                "AND julianday(window_end) - julianday(window_start) BETWEEN :days - 0.1 AND :days + 0.1 "
                "AND window_end = (SELECT max(window_end) FROM measurements WHERE metric = 'ctr_list')",
                days=int(period),
            )
            shown = {
                tuple(row[name] for name in ("version", "slice", "value", "low", "high", "users"))
                for row in rows
            }
            assert shown == {tuple(map(str, row)) for row in stored}
            assert len(rows) == len(stored) == 36
            assert number(stored[0][2], "share") in page


def test_engagement_says_whether_the_share_has_changed(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, figures.engagement(before=0.8)) as client:
        said = summary(client, "engagement")
    assert said.startswith(
        "Users acted on 11.2 % (10.1 to 12.3 %) of the lists of als v1 in the 28 days until "
    )
    assert "That is higher than in the 28 days before: 8.96 %" in said


@pytest.mark.parametrize(
    ("before", "says"), [(0.98, "about as in"), (1.5, "lower than in"), (0.5, "higher than in")]
)
def test_the_answer_follows_the_figures(tmp_path: Path, before: float, says: str) -> None:
    with dashboard_client(
        tmp_path, [*figures.engagement(before=before), *figures.growth(before=before)]
    ) as client:
        assert says in summary(client, "engagement")
        assert says in summary(client, "churn")


@pytest.mark.parametrize("page", ["engagement", "catalogue", "retention", "churn"])
def test_without_figures_a_page_says_that_it_does_not_know(tmp_path: Path, page: str) -> None:
    with dashboard_client(tmp_path) as client:
        assert summary(client, page).startswith("That is not known")


def test_too_little_data_is_said_and_not_drawn_as_zero(tmp_path: Path) -> None:
    few = {"value": None, "low": None, "high": None, "n": 12}
    rows = [
        *(row | few for row in figures.engagement()),
        *(row | few for row in figures.catalogue()),
        *(row | few for row in figures.growth()),
    ]
    with dashboard_client(tmp_path, rows) as client:
        for page in ("engagement", "catalogue", "churn"):
            assert "12 of 30 users" in summary(client, page)
            document = client.get(f"/{page}").text
            assert "Too little data" in document
            assert ">0 %<" not in document
            assert {row["value"] for row in table(client, page, "figures")} == {""}


def test_a_version_without_traffic_is_not_shown(tmp_path: Path) -> None:
    old = [row for row in figures.engagement("v0") if row["window_end"] < midnight()]
    with dashboard_client(tmp_path, [*figures.engagement("v1"), *old]) as client:
        assert {row["version"] for row in table(client, "engagement", "figures")} == {"v1"}
        assert client.get("/engagement", params={"version": "v0"}).status_code == 200
        assert "not known" in summary(client, "engagement", version="v0")


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_figure_that_is_not_a_number_is_not_one(tmp_path: Path, value: float | None) -> None:
    broken = {"value": value, "low": value, "high": value}
    rows = [row | broken for row in [*figures.engagement(), *figures.growth(), *figures.variants(A=0.1)]]
    with dashboard_client(tmp_path, rows) as client:
        for page in PAGES:
            document = client.get(f"/{page}")
            assert document.status_code == 200
            assert not re.search(r"\b(nan|inf|None)\b", document.text), page
        for name in ("ctr_list_1", "ctr_by_position_1"):
            assert client.get(f"/blocks/engagement/{name}.json").status_code == 200


FIELDS = ("model", "version", "experiment", "variant", "slice", "metric", "source", "problem", "unit")


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_hostile_names_are_text(tmp_path: Path, field: str) -> None:
    hostile = {"slice": f"position={HOSTILE}", "metric": f"x_{HOSTILE}"}.get(field, HOSTILE)
    rows = [row | {field: hostile} for row in shop()]
    names = (
        "source",
        "problem",
        "model",
        "version",
        "experiment",
        "variant",
        "slice",
        "metric",
        "window_start",
        "window_end",
    )
    unique = {tuple(row[name] for name in names): row for row in rows}
    with dashboard_client(tmp_path, unique.values()) as client:
        for page in PAGES:
            for filters in ({}, {"experiment": "prices"}, {field: HOSTILE}):
                answer = client.get(f"/{page}", params=filters)
                assert answer.status_code == 200, (page, filters)
                assert HOSTILE not in answer.text
                assert "<script>alert" not in answer.text


@pytest.mark.slow
def test_every_figure_links_to_its_definition(tmp_path: Path) -> None:
    with dashboard_client(
        tmp_path, [*shop(), measurement("x_dwell", 3.0, source="team-b", unit="s")]
    ) as client:
        anchors = set(re.findall(r' id="([^"]+)"', client.get("/definitions").text))
        assert anchors >= {*DEFINITIONS, "x_dwell"}
        for page in PAGES:
            document = client.get(f"/{page}").text
            linked = re.findall(r'href="/definitions#([^"]+)"', document)
            assert set(linked) <= anchors, page
            cards = document.partition('<ul class="figures">')[1:]
            assert bool(cards[0]) == (page in ("engagement", "catalogue", "retention", "churn"))
            for card in re.findall(r"<li.*?</li>", document.partition('<ul class="figures">')[2], re.DOTALL):
                if "<h3>" in card:
                    assert "/definitions#" in card


def test_definitions_have_words_formula_and_sql_of_every_metric(tmp_path: Path) -> None:
    with dashboard_client(tmp_path) as client:
        page = unescape(client.get("/definitions").text)
    for one in DEFINITIONS.values():
        for said in (one.title, one.words, one.formula, one.sql, one.does_not_say):
            assert said in page, one.name


@pytest.mark.slow
def test_a_thousand_foreign_metrics_are_listed(tmp_path: Path) -> None:
    rows = [measurement(f"x_{n:04}", 1.0, source="team-b", unit="points") for n in range(1_000)]
    with dashboard_client(tmp_path, rows) as client:
        listed = table(client, "definitions", "foreign_metrics")
        assert [row["metric"] for row in listed] == [f"x_{n:04}" for n in range(1_000)]
        assert {(row["source"], row["unit"]) for row in listed} == {("team-b", "points")}
        assert "1,000 more are reported by foreign models." in summary(client, "definitions")
        assert client.get("/engagement").status_code == 200


def test_retention_shows_the_cohorts_that_sql_has(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        shown = table(client, "retention", "cohorts")
        stored = sql(
            tmp_path,
            "SELECT date(window_start), slice, value FROM measurements "
            "WHERE metric = 'retention_week' AND model = '' AND is_complete",
        )
        cells = {(day, slice_): value for day, slice_, value in stored}
        assert len(shown) == 14
        for row in shown:
            for week in range(13):
                value = cells.get((row["cohort"], f"week={week}"))
                assert row[f"week_{week}"] == ("" if value is None else str(value))


def test_young_cohorts_are_hatched_and_small_ones_grey_never_zero(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        page = client.get("/retention").text
        rows = table(client, "retention", "cohorts")
    section = page.partition('id="cohorts"')[2].partition("</section>")[0]
    hatched = re.findall(r'<td class="figure incomplete">(.*?)</td>', section, re.DOTALL)
    grey = re.findall(r'<td class="figure too-little">(.*?)</td>', section, re.DOTALL)
    complete = sql(
        tmp_path,
        "SELECT slice FROM measurements WHERE metric = 'retention_week' AND model = '' AND is_complete",
    )
    assert len(hatched) == 14 * 13 - len(complete)
    assert all("too young" in one and "%" not in one for one in hatched)
    assert len(grey) >= 1
    assert all("12 of 30 users" in one for one in grey)
    assert "0" not in {row[f"week_{week}"] for row in rows for week in range(13)}


def test_a_curve_pools_the_users_of_a_versions_cohorts(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        rows = table(client, "retention", "by_first_version")
    stored = sql(
        tmp_path,
        "SELECT slice, sum(round(value * n)) / sum(n), sum(n), count(*) FROM measurements "
        "WHERE model = 'als' AND metric = 'retention_week' AND is_complete AND value IS NOT NULL "
        "GROUP BY slice",
    )
    assert {row["version"] for row in rows} == {"als v1"}
    shown = {f"week={row['week']}": (row["value"], row["users"], row["cohorts"]) for row in rows}
    assert shown == {slice_: (str(value), str(n), str(count)) for slice_, value, n, count in stored}


def test_retention_is_that_of_the_chosen_version(tmp_path: Path) -> None:
    with dashboard_client(
        tmp_path, [*shop(), *figures.retention(model="als", version="v2", cohorts=3)]
    ) as client:
        assert "whose first visit was in the week from" in summary(client, "retention")
        assert "whose first list of als v2 was" in summary(client, "retention", model="als", version="v2")
        assert len(table(client, "retention", "cohorts", model="als", version="v2")) == 3
        assert "experiment" in client.get("/retention").text


def test_retention_of_an_experiment_has_a_curve_per_variant(tmp_path: Path) -> None:
    rows = [row for variant in ("A", "B") for row in figures.retention(experiment="prices", variant=variant)]
    with dashboard_client(tmp_path, rows) as client:
        curves = table(client, "retention", "by_first_version", experiment="prices")
        assert {row["version"] for row in curves} == {"variant A", "variant B"}
        assert "Choose a variant of prices" in summary(client, "retention", experiment="prices")
        said = summary(client, "retention", experiment="prices", variant="A")
        assert "whose first list of prices A was in the week from" in said


def test_a_late_start_with_one_version_does_not_hide_the_shops_cohorts(tmp_path: Path) -> None:
    """One user's first list of an old version makes a cohort that is newer than the shop's newest."""
    rows = list(figures.retention())
    newest = max(
        row["window_end"] for row in rows if row["metric"] == "retention_days_1_7" and row["is_complete"]
    )
    late = measurement(
        "retention_days_1_7", None, n=1, low=None, high=None, version="v0",
        window_start=newest, window_end=newest + 7 * DAY,
    )  # fmt: skip
    with dashboard_client(tmp_path, [*rows, late]) as client:
        assert summary(client, "retention").startswith("45.0 % ")


def test_parts_of_the_active_users_sum_to_them(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        rows = table(client, "churn", "periods")
        said = client.get("/churn").text
    assert len(rows) == 3
    for row in rows:
        assert float(row["active"]) == sum(float(row[part]) for part in ("new", "retained", "resurrected"))
        assert float(row["lost"]) == figures.LOST
    assert "760 users were active in the 28 days until" in said


@pytest.mark.slow
def test_another_problems_figures_are_not_mixed_in(tmp_path: Path) -> None:
    other = [row | {"problem": "small shop", "value": 1.0, "n": 40} for row in figures.growth()]
    foreign = [row | {"source": "team-b", "value": 9e9, "n": 10**9} for row in figures.growth()]
    with dashboard_client(tmp_path, [*shop(), *other, *foreign]) as client:
        assert {row["active"] for row in table(client, "churn", "periods")} == {"760.0"}
        assert {row["active"] for row in table(client, "churn", "periods", problem="small shop")} == {"1.0"}


def test_experiments_are_listed_and_their_variants_drawn_without_a_verdict(tmp_path: Path) -> None:
    rows = [*figures.variants("prices", A=0.1, B=0.12), *figures.variants("photos", A=0.2, B=0.3)]
    with dashboard_client(tmp_path, rows) as client:
        assert summary(client, "experiments") == "2 experiments are labels in the log; choose one."
        assert "variant A 20.0 % (18.0 to 22.0 %)" in summary(client, "experiments", experiment="photos")
        assert [row["value"] for row in table(client, "experiments", "ctr_list", experiment="prices")] == [
            "0.1",
            "0.12",
        ]
        page = client.get("/experiments", params={"experiment": "photos"}).text
        assert "did not assign their users" in page
        assert not re.search(r"significant|winner", page)


FILTERED: list[tuple[str, dict[str, str], str, set[str]]] = [
    ("engagement", {"version": "v2"}, "version", {"v2"}),
    ("engagement", {"model": "als"}, "version", {"v1", "v2"}),
    ("engagement", {"model": "ease"}, "version", {"w1"}),
    ("engagement", {"experiment": "prices"}, "variant", {"A", "B"}),
    ("engagement", {"experiment": "prices", "variant": "B"}, "variant", {"B"}),
    ("engagement", {"problem": "another"}, "version", set()),
    ("catalogue", {"version": "v1"}, "version", {"v1"}),
    ("catalogue", {"model": "ease"}, "version", set()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "filters", "column", "left"), FILTERED)
def test_a_filter_restricts_the_figures(
    tmp_path: Path, page: str, filters: dict[str, str], column: str, left: set[str]
) -> None:
    rows = [*shop(), *figures.engagement("w1", model="ease")]
    with dashboard_client(tmp_path, rows) as client:
        everything = {tuple(row.values()) for row in table(client, page, "figures")}
        shown = table(client, page, "figures", **filters)
        assert {row[column] for row in shown} == left
        if "experiment" not in filters:
            assert {tuple(row.values()) for row in shown} <= everything


@pytest.mark.parametrize("page", ["engagement", "catalogue", "churn", "retention"])
def test_the_period_changes_the_figures_of_the_period_only(tmp_path: Path, page: str) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        lengths = {
            period: {(row["first"], row["last"]) for row in table(client, page, "figures", period=period)}
            for period in ("7", "90")
        }
    assert (lengths["7"] == lengths["90"]) == (page in ("churn", "retention"))


def cells(document: str) -> Iterable[str]:
    """The text of a document's cells."""
    return (
        unescape(re.sub("<[^>]*>", " ", one))
        for one in re.findall(r"<td[^>]*>(.*?)</td>", document, re.DOTALL)
    )


@pytest.mark.parametrize("page", ["engagement", "catalogue", "churn", "retention", "experiments"])
def test_the_csv_file_has_the_figures_of_the_page(tmp_path: Path, page: str) -> None:
    with dashboard_client(tmp_path, shop()) as client:
        shown = " ".join(cells(client.get(f"/{page}").text))
        rows = table(client, page, "figures")
    assert rows
    for row in rows:
        for name in ("value", "low", "high", "before"):
            if row[name]:
                assert number(float(row[name]), row["unit"]) in shown, (name, row)


def test_days_are_the_shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Midnight UTC is noon or 1 pm of the same day in Auckland."""
    monkeypatch.setenv("TASTEMAKER_SOURCE__TIMEZONE", "Pacific/Auckland")
    with dashboard_client(tmp_path, figures.engagement()) as client:
        days = {row["day"] for row in table(client, "engagement", "ctr_list_1")}
    newest = midnight() - DAY
    assert max(days) == f"{newest:%Y-%m-%d}"
