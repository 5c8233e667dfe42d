"""The list of experiments and the page of one: what is stored is what is shown, and doubt comes first."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape, unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, update
from starlette.testclient import TestClient

from support import experiment_units, product_figures
from support import planned_experiments as planned
from support.dashboard_homes import dashboard_client, dashboard_engine
from support.operated_homes import put
from tastemaker.dashboard.content import Charts, Figures, Notes, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import experiment, experiments
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.look import Look
from tastemaker.experiments.analysis.looks import store
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.settings import load_settings
from tastemaker.storage import tables
from tastemaker.storage.engine import open_engine

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        planned.plant_namespace(engine, NOW)
        planned.plant(engine, NOW)
        planned.plant_invalid(engine, NOW)
        yield DashboardReader(engine, settings, lambda: NOW)


def load(reader: DashboardReader, name: str = "ranker-v2") -> PageContent:
    return experiment.PAGE.load(reader, PageFilters(path={"name": name}), ON_THIS_MACHINE)


def rows(content: PageContent, table: str) -> list[dict[str, Any]]:
    return content.table(table).records()


class TestOneExperiment:
    """The page of one experiment."""

    def test_the_sentence_is_that_of_the_look(self, reader: DashboardReader) -> None:
        content = load(reader)
        assert (content.answer, content.as_of) == (planned.SENTENCE, NOW)

    def test_doubt_comes_above_the_figures(self, reader: DashboardReader) -> None:
        content = load(reader)
        concerns, sound, effects, *_ = content.blocks
        assert isinstance(concerns, Notes)
        assert isinstance(sound, Figures)
        assert isinstance(effects, Figures)
        assert [one.title for one in sound.figures] == [
            "Sample ratio, p",
            "Units seen in two variants",
            "Pending units",
            "Guardrails without current data",
            "Information",
        ]
        assert [one.value for one in sound.figures] == [0.42, 12 / 6_930, 900, 1, pytest.approx(0.3)]
        assert "units are divided as planned" in sound.figures[0].comparison

    def test_what_units_wait_for_stands_beside_those_that_are_pending(self, reader: DashboardReader) -> None:
        late = {"event_type": "purchase", "newest": "2026-11-29T02:00:00+00:00", "units": 120}
        with reader.engine.begin() as connection:
            connection.execute(update(tables.looks).values(details={"waiting": [late]}))
        sound = next(one for one in load(reader).blocks if isinstance(one, Figures))
        words = "waiting for purchase: the newest is of 2026-11-29 02:00 UTC; 120 units"
        assert sound.figures[2].comparison == words

    def test_effects_are_absolute_and_relative_raw_and_adjusted(self, reader: DashboardReader) -> None:
        content = load(reader)
        found = {(one["metric"], one["figures"]): one for one in rows(content, "effects")}
        raw = next(one for (metric, kind), one in found.items() if one["role"] == "primary" and kind == "raw")
        assert raw["difference"] == pytest.approx(0.08)
        assert (raw["relative"], raw["relative_low"]) == (0.04, pytest.approx(-0.01))
        assert raw["p_adjusted"] == "0.22"
        assert [one["figures"] for one in rows(content, "effects") if one["role"] == "primary"] == [
            "raw",
            "adjusted",
        ]
        shown = rows(content, "relative_effects")
        assert shown[0]["value"] == 0.031, "the adjusted effect is the one to show"

    def test_the_effect_by_day_has_a_mark_at_each_change(self, reader: DashboardReader) -> None:
        content = load(reader)
        assert len(rows(content, "effect_by_exposure")) == 10
        lines = content.chart("effect_by_exposure").spec["layer"][0]["data"]["values"]
        assert [one["exposed"] for one in lines] == ["2026-11-15"], "start and creation were before"
        assert lines[0]["event"] == "step by Ada: all guardrails are safe"

    def test_novelty_is_by_days_since_the_first_exposure(self, reader: DashboardReader) -> None:
        found = rows(load(reader), "novelty")
        assert [one["day"] for one in found] == list(range(7))
        assert found[0]["value"] > found[-1]["value"]

    def test_slices_are_exploratory(self, reader: DashboardReader) -> None:
        table = load(reader).table("slices")
        assert "exploratory" in table.title
        assert [one["slice"] for one in table.records()] == ["country=DE", "country=GB"]

    def test_guardrails_have_their_newest_verdict(self, reader: DashboardReader) -> None:
        found = rows(load(reader), "guardrails")
        assert [(one["verdict"], one["value"]) for one in found] == [("stale", None), ("safe", 0.011)]

    def test_shadows_stand_beside_what_was_served(self, reader: DashboardReader) -> None:
        found = {one["figure"]: one for one in rows(load(reader), "shadows")}
        assert found["Common items"]["value"] == 0.62
        assert (found["Time to answer"]["value"], found["Time to answer"]["served_value"]) == (6.1, 4.2)
        with pytest.raises(TastemakerError, match="no table named 'shadows'"):
            load(reader, "photos").table("shadows")

    def test_what_each_variant_learned_from_is_there_if_it_was_counted(self, reader: DashboardReader) -> None:
        with pytest.raises(TastemakerError, match="no table named 'learned'"):
            load(reader).table("learned")
        row = {
            "experiment": "ranker-v2", "epoch": 0, "variant": "B", "learned_in": "online", "lists": 1_200,
            "from_version": "v1", "from_variant": "", "version": "v2", "counted_at": NOW,
        }  # fmt: skip
        put(reader.engine, tables.learned_lists, row, row | {"from_variant": "control", "lists": 300})
        found = rows(load(reader), "learned")
        assert [
            (one["variant"], one["lists"], one["from_version"], one["from_variant"]) for one in found
        ] == [
            ("B", 1_200, "v1", "none"),
            ("B", 300, "v1", "control"),
        ]

    def test_forecasts_stand_beside_what_came(self, reader: DashboardReader) -> None:
        pending, measured = rows(load(reader), "forecasts")
        assert (measured["forecast"], measured["outcome"]) == (0.05, 0.031)
        assert measured["z"] == pytest.approx(0.019 / (0.01 * 2**0.5))
        assert (measured["covered"], measured["same_sign"]) == ("yes", "yes")
        assert (pending["outcome"], pending["z"], pending["covered"]) == (None, None, None)

    def test_all_changes_are_there_the_newest_first(self, reader: DashboardReader) -> None:
        found = rows(load(reader), "changes")
        assert [one["action"] for one in found] == ["step", "start", "create"]
        assert [one["enrolment"] for one in found] == [0.05, 0.01, 0.0]

    def test_with_a_failed_sample_ratio_no_effect_is_shown_only_why(self, reader: DashboardReader) -> None:
        content = load(reader, "photos")
        assert content.answer == planned.INVALID
        assert not any(isinstance(one, Charts) for one in content.blocks)
        names = {one.name for one in content.tables()}
        assert names.isdisjoint({"effects", "slices", "relative_effects", "effect_by_exposure"})
        assert isinstance(content.blocks[0], Notes)
        assert "no effect is shown" in str(content.blocks[0].items[0])
        assert "4.00 %" not in str(content.blocks)

    def test_before_the_first_look_the_page_says_so(self, reader: DashboardReader) -> None:
        planned.plant_experiment(reader.engine, NOW, "young", state="draft")
        content = load(reader, "young")
        assert content.answer == "It is a draft: it has not started."
        assert content.table("effects").rows == []

    def test_figures_of_an_experiment_that_is_over_do_not_become_old(self, reader: DashboardReader) -> None:
        live = load(reader).fresh
        with reader.engine.begin() as connection:
            connection.execute(update(tables.experiments).values(state="decided"))
        assert load(reader).fresh > 1_000 * live

    def test_an_effect_without_a_relative_one_is_absolute(self, reader: DashboardReader) -> None:
        """Control earned nothing: Fieller's interval is infinite."""
        planned.plant_experiment(reader.engine, NOW, "zero")
        planned.plant_look(reader.engine, NOW, "zero")
        infinite = {"relative": None, "relative_low": float("-inf"), "relative_high": float("inf")}
        none = planned.effect("zero", "reward_per_user", 0.0, role="primary", control_value=0.0)
        put(reader.engine, tables.look_effects, none | infinite)
        content = load(reader, "zero")
        assert rows(content, "relative_effects") == []
        assert "no relative effect" in str(content.blocks)


class TestComputedLooks:
    """What the analysis stores is what the page shows: no hand-written rows."""

    def plant(self, reader: DashboardReader, table: UnitTable) -> Look:
        plan = experiment_units.design(("control", "B"), secondary=("ctr_list",))
        fields = msgspec.structs.asdict(plan)
        planned.plant_experiment(reader.engine, NOW, fields.pop("name"), **fields)
        taken = experiment_units.looks(table, plan)
        for look in taken:
            store(reader.engine, look)
        return taken[-1]

    def test_a_decided_look(self, reader: DashboardReader) -> None:
        table = experiment_units.units(effect=0.6, variants=("control", "B"))
        look = self.plant(reader, table)
        content = load(reader, look.experiment)
        assert look.verdict == "better"
        assert content.answer == look.sentence
        shown = {(one["role"], one["figures"]): one for one in rows(content, "effects")}
        (decides,) = [one for one in look.effects if one.role == "primary" and one.is_adjusted]
        assert shown["primary", "adjusted"]["relative_low"] == decides.relative_low
        assert shown["primary", "adjusted"]["relative_low"] > 0
        days = rows(content, "effect_by_exposure")
        assert days
        assert [one["exposed"] for one in days] == sorted(one["exposed"] for one in days)
        assert rows(content, "progress")[-1]["units"] == sum(look.units.values())

    def test_a_look_at_wrongly_divided_units(self, reader: DashboardReader) -> None:
        table = experiment_units.units(variants=("control", "B"), odds=(0.6, 0.4))
        look = self.plant(reader, table)
        content = load(reader, look.experiment)
        assert look.verdict == "invalid"
        assert isinstance(content.blocks[0], Notes)
        assert any("expected" in str(one) for one in content.blocks[0].items)
        assert "effects" not in {one.name for one in content.tables()}


class TestTheList:
    """The list of experiments."""

    def test_each_experiment_has_its_sentence(self, reader: DashboardReader) -> None:
        content = experiments.PAGE.load(reader, PageFilters(), ON_THIS_MACHINE)
        assert content.answer == "2 experiments: 2 running."
        found = {one["experiment"]: one for one in rows(content, "experiments")}
        assert found["ranker-v2"]["result"] == planned.SENTENCE
        assert found["ranker-v2"]["look"] == "3 of at most 14"
        assert found["photos"]["step"] == "step 2 of 4: 5 % of the units"
        assert "step" not in found["photos"]["next"].split(", "), "a look that is invalid allows no step"

    def test_archived_ones_and_other_problems_are_not_listed(self, reader: DashboardReader) -> None:
        planned.plant_experiment(reader.engine, NOW, "old", state="archived")
        shown = experiments.PAGE.load(reader, PageFilters(problem="shop"), ON_THIS_MACHINE)
        assert {one["experiment"] for one in rows(shown, "experiments")} == {"ranker-v2", "photos"}
        other = experiments.PAGE.load(reader, PageFilters(problem="other"), ON_THIS_MACHINE)
        assert rows(other, "experiments") == []


def test_labels_in_the_log_keep_their_figures(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, product_figures.variants("prices", A=0.1, B=0.12)) as client:
        page = client.get("/experiments").text
        assert "variant A 10.0 %" in page
        assert "did not assign their users" in page


def opened(home: Path) -> Engine:
    return open_engine(load_settings(home=home).metadata_url)


@pytest.mark.parametrize("path", ["/experiments", f"/experiments/{HOSTILE.replace('/', '%2F')}"])
def test_stored_text_is_text(tmp_path: Path, path: str) -> None:
    with dashboard_client(tmp_path) as client:
        engine = opened(tmp_path)
        planned.plant_namespace(engine, NOW)
        planned.plant(engine, NOW, "x", text=HOSTILE)
        engine.dispose()
        page = client.get(path.replace(HOSTILE.replace("/", "%2F"), "x"))
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert escape(HOSTILE).replace("&#x27;", "&#39;") in page.text


def test_the_csv_file_has_the_figures_of_the_page(tmp_path: Path) -> None:
    with dashboard_client(tmp_path) as client:
        engine = opened(tmp_path)
        planned.plant_namespace(engine, NOW)
        planned.plant(engine, NOW)
        engine.dispose()
        page = unescape(re.sub("<[^>]*>", " ", client.get("/experiments/ranker-v2").text))
        file = client.get("/blocks/experiments/ranker-v2/effects.csv")
        first = next(csv.DictReader(io.StringIO(file.text)))
        assert float(first["relative_low"]) == pytest.approx(-0.01)
        assert "3.10 %" in page


def test_no_such_experiment(client_of_nothing: TestClient) -> None:
    page = client_of_nothing.get("/experiments/nothing")
    assert page.status_code == 404
    assert "there is no experiment" in page.text


@pytest.fixture
def client_of_nothing(tmp_path: Path) -> Iterator[TestClient]:
    with dashboard_client(tmp_path) as client:
        yield client
