"""What a digest says: known figures in words, on too little data nothing, and names as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from support import planted_metadata
from support.digest_weeks import NOW, TOO_LITTLE, WEEK, figure, model_week, usual_shop, write
from tastemaker.digest.document import Digest, DigestSection
from tastemaker.digest.rendering import html_page, text_sections
from tastemaker.digest.week import ShopWeek
from tastemaker.digest.writing import write_digest
from tastemaker.storage import tables
from tastemaker.storage.engine import open_engine

HOSTILE = "<img src=x onerror=alert(1)>\r\nBcc: all@example.com\x00 <!channel> & `x` {0} %s 'q' \"q\""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'meta.db'}")
    yield opened
    opened.dispose()


def digest_of(engine: Engine) -> Digest:
    return write_digest(engine, "shop", WEEK, NOW)


def section(digest: Digest, title: str) -> DigestSection:
    (found,) = [one for one in digest.sections if one.title == title]
    return found


def lines(digest: Digest, title: str) -> list[str]:
    return [line.text for line in section(digest, title).lines]


def cells(digest: Digest, title: str) -> dict[tuple[str, ...], list[str]]:
    table = section(digest, title).table
    assert table is not None
    names = table.heads.index("This week")
    return {tuple(c.text for c in row[:names]): [c.text for c in row[names:]] for row in table.rows}


def add(engine: Engine, table: Any, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for row in rows:
            connection.execute(insert(table).values(row))


def test_figures_are_compared_with_last_week_and_the_four_weeks_before(engine: Engine) -> None:
    write(engine, *usual_shop())
    digest = digest_of(engine)
    assert digest.title == "shop: week 47, 16 to 22 Nov 2026"
    assert digest.answer == "2 of 5 compared figures changed since last week, 2 for the worse."
    models = cells(digest, "Models")
    assert models["ials", "Click-through rate per list"] == [
        "10.0 % (9.60 to 10.4 %)",
        "12.0 %: down by 2.00 points (1.43 to 2.57)",
        "12.1 %: down by 2.10 points (1.65 to 2.55)",
    ]
    assert models["ials", "Reward per request"][1] == "0.310 GBP: as last week"
    assert models["ease", "Click-through rate per list"][1:] == [
        "11.1 %: as last week",
        "9.00 %: up by 2.00 points (1.55 to 2.45)",
    ]
    assert cells(digest, "Users") == {
        ("Weekly active users",): ["5,200 users", "5,100 users"],
        ("Churn",): ["20.0 % (19.0 to 21.0 %)", "20.5 %: as last week"],
        ("Retention on days 1 to 7",): [
            "30.0 % (28.0 to 32.0 %)",
            "36.0 %: down by 6 points (3.17 to 8.83)",
        ],
    }
    assert lines(digest, "What to look at") == [
        "ials: Click-through rate per list is down by 2.00 points (1.43 to 2.57) since last week.",
        "Retention on days 1 to 7 is down by 6 points (3.17 to 8.83) since last week.",
    ]
    assert "ease: as last week." in lines(digest, "Models")


def test_too_little_data_is_grey_and_says_how_much_is_missing(engine: Engine) -> None:
    write(engine, *model_week("small", "ctr_list", TOO_LITTLE, figure(0.1, 0.05), None))
    digest = digest_of(engine)
    table = section(digest, "Models").table
    assert table is not None
    row = next(row for row in table.rows if row[1].text == "Click-through rate per list")
    assert (row[2].text, row[2].is_grey) == ("too little data: 12 users, needs 30 and 10 events", True)
    assert row[3].text == "10.0 %"
    assert "small: too little data to compare it with last week." in lines(digest, "Models")
    assert digest.answer.startswith("Nothing can be said about changes yet")


def test_a_figure_that_may_still_change_says_so(engine: Engine) -> None:
    now = figure(0.1, 0.01) | {"is_complete": False}
    write(engine, *model_week("ease", "ctr_list", now, None, None))
    assert cells(digest_of(engine), "Models")["ease", "Click-through rate per list"] == [
        "10.0 % (9.00 to 11.0 %); it may still change",
        "–",
        "–",
    ]


def test_a_new_shop_and_a_week_without_data(engine: Engine) -> None:
    digest = digest_of(engine)
    assert (
        digest.answer == "There are no figures of this week: nothing was served, or they were not computed."
    )
    assert lines(digest, "Models") == ["No model has a figure of this week."]
    assert lines(digest, "Alerts") == ["No alert fired."]
    assert lines(digest, "Data and jobs") == ["No run of a job ended."]
    assert lines(digest, "What changed") == ["Nothing changed."]
    write(engine, *model_week("ease", "ctr_list", None, figure(0.1, 0.01), figure(0.1, 0.01)))
    digest = digest_of(engine)
    assert "There are no figures of this week" in digest.answer
    assert "ease has no figure of this week." in lines(digest, "Models")


def test_the_week_in_which_clocks_change_is_found(engine: Engine) -> None:
    week = ShopWeek(date(2026, 3, 23), planted_metadata.BERLIN)
    write(
        engine,
        planted_metadata.measurement(
            "ctr_list", week.monday, 7, model="ease", version="", **figure(0.1, 0.01)
        ),
    )
    digest = write_digest(engine, "shop", week, NOW)
    assert cells(digest, "Models")["ease", "Click-through rate per list"][0] == "10.0 % (9.00 to 11.0 %)"


def test_versions_variants_and_other_problems_are_left_out(engine: Engine) -> None:
    row = model_week("ease", "ctr_list", figure(0.1, 0.01), None, None)[0]
    for other in ({"version": "v1"}, {"variant": "a"}, {"slice": "x=1"}, {"problem": "another"}):
        write(engine, row | other)
    assert digest_of(engine).answer.startswith("There are no figures")


def test_events_of_the_week_and_no_others(engine: Engine) -> None:
    for table, rows in planted_metadata.other_rows():
        add(engine, table, *rows)  # of another week
    within, after = WEEK.start + timedelta(hours=30), WEEK.end
    incident = {"severity": "page", "cause": "c", "source": "watch", "condition": "x", "reminders": 0}
    incident |= {"notified": [], "value": 1.0, "labels": {"model": "ease"}, "rule": "empty_lists"}
    for uid, at, closed, summary in (
        ("a", within, within + timedelta(hours=2), "half of the lists were empty"),
        ("b", within, None, "a tenth of the lists is empty"),
        ("c", after, None, "of the next week"),
    ):
        times = {"opened_at": at, "closed_at": closed}
        add(engine, tables.alert_incidents, incident | times | {"uid": uid, "key": uid, "summary": summary})
    gate = {"source": "events", "passed": False, "reason": "r", "rows_read": 10, "checked_at": within}
    add(engine, tables.gate_results, gate | {"rows_quarantined": {"bad_price": 3, "no_item": 4}})
    for run, at in (("x", within), ("y", within), ("z", after)):
        job = {"run_id": run, "job_name": "everything", "succeeded": run == "y", "ended_at": at}
        add(engine, tables.job_runs, job)
    promotion = {
        "problem": "shop",
        "version_id": "v2",
        "action": "promote",
        "forced": True,
        "reason": "a test",
    }
    add(engine, tables.promotions, promotion | {"at": within})
    add(engine, tables.promotions, promotion | {"at": within, "problem": "another"})
    digest = digest_of(engine)
    assert lines(digest, "Alerts") == [
        "2 alerts fired: 2 pages; 1 is still open.",
        "Tue 17 Nov 06:00, lasted 2 h: empty_lists (ease): half of the lists were empty",
        "Tue 17 Nov 06:00, still open: empty_lists (ease): a tenth of the lists is empty",
    ]
    assert lines(digest, "Data and jobs") == [
        "events: 1 batch refused.",
        "The job everything failed 1 time.",
        "7 rows went to quarantine.",
    ]
    assert lines(digest, "What changed") == [
        "Tue 17 Nov 06:00: ials v2 was promoted without passing its test: a test"
    ]
    assert lines(digest, "What to look at") == [
        "Alert empty_lists is still open: a tenth of the lists is empty",
        "events: 1 batch refused.",
        "The job everything failed 1 time.",
    ]


def test_no_users_id_is_in_a_digest(engine: Engine) -> None:
    planted_metadata.plant(engine)
    week = ShopWeek(planted_metadata.SPRING - timedelta(days=6), planted_metadata.BERLIN)
    page = html_page(write_digest(engine, "shop", week, NOW))
    assert planted_metadata.USER not in page


class Tags(HTMLParser):
    """The names and attributes of a page's tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_hostile_names_are_plain_text(engine: Engine) -> None:
    write(engine, *model_week(HOSTILE[:100], "ctr_list", figure(0.1, 0.01), figure(0.2, 0.01), None))
    reported = {"source": "<b>partner</b>"}
    write(engine, *(row | reported for row in model_week("x", "ctr_list", figure(0.1, 0.01), None, None)))
    incident = {"severity": "page", "cause": "c", "source": "watch", "condition": "x", "reminders": 0}
    incident |= {"notified": [], "value": 1.0, "labels": {"model": HOSTILE}, "rule": "r", "summary": HOSTILE}
    add(engine, tables.alert_incidents, incident | {"uid": "a", "key": "a", "opened_at": WEEK.start})
    digest = digest_of(engine)
    tags = Tags()
    tags.feed(html_page(digest))
    assert {tag for tag, _ in tags.found} <= {
        "html", "head", "meta", "title", "body", "h1", "h2", "p", "strong", "small", "ul", "li", "div",
        "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
    for one in text_sections(digest):
        assert all(line.isprintable() for line in one.split("\n"))
        assert not any(line.startswith("Bcc:") for line in one.split("\n"))


def test_many_models_and_alerts_stay_one_page(engine: Engine) -> None:
    for number in range(60):
        write(engine, *model_week(f"model_{number:02}", "ctr_list", figure(0.1, 0.01), None, None))
    incident = {"severity": "ticket", "cause": "c", "source": "watch", "condition": "x", "reminders": 0}
    incident |= {"notified": [], "value": 1.0, "labels": {}, "rule": "r", "summary": "s"}
    for number in range(40):
        row = {"uid": f"{number}", "key": f"{number}", "opened_at": WEEK.start, "closed_at": WEEK.end}
        add(engine, tables.alert_incidents, incident | row)
    digest = digest_of(engine)
    assert "40 more models are not listed." in lines(digest, "Models")
    assert lines(digest, "Alerts")[-1] == "29 more are not listed."
    assert len(html_page(digest)) < 60_000


def test_the_page_needs_no_image_script_or_style_sheet(engine: Engine) -> None:
    write(engine, *usual_shop())
    tags = Tags()
    tags.feed(html_page(digest_of(engine)))
    assert not {tag for tag, _ in tags.found} & {"img", "script", "style", "link", "svg", "iframe"}
    assert not [attributes for _, attributes in tags.found if {"src", "href"} & set(attributes)]


def test_page_and_text_say_the_same(engine: Engine) -> None:
    write(engine, *usual_shop())
    digest = digest_of(engine)
    text, page = "\n".join(text_sections(digest)), html_page(digest)
    for one in digest.sections:
        for line in one.lines:
            assert line.text in text
            assert line.text.replace("'", "&#39;") in page
