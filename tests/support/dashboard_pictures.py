"""The dashboards that are pictured in the documentation: fixed data at a fixed time.

A picture carries the text of the page that it shows. Pixels differ between machines, the text does not: where
a page says something else, its picture is old.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from html import unescape
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import Engine, update

from support import operated_homes, planned_experiments, request_logs
from support.dashboard_homes import DAY, dashboard_server
from support.dashboard_shops import BEFORE, CHAMPION, answers, fill
from support.planted_rollouts import plant_rollouts
from support.planted_trainings import plant_trainings
from support.product_homes import FIRST_DAY, ProductWorld, make_world, measure, write_home
from support.repository import ROOT
from tastemaker.settings import load_settings
from tastemaker.storage.tables import measurements, report_counts, reported_models

IMAGES = ROOT / "docs" / "images"
PLANTED = (
    "today",
    "models",
    "alerts",
    "data",
    "drift",
    "requests?q=stage!=model",
    "definitions",
    "experiments",
    "experiments/ranker-v2",
    "rollouts/3",
    "training",
)
"""Pages of the shop of `dashboard_shops`, with experiments and reports."""
COMPUTED = ("engagement", "retention", "churn", "catalogue")
"""Pages of the shop of `product_homes`, whose figures are computed from its logs."""
REPORTED = ("foreign-models",)
"""Pages of a shop whose search reports from another system."""
NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)
WORLD_DAYS, PICTURED_DAYS = 112, 56
"""Of the second shop: users begin until the middle of its days, where the pictures are taken."""
_TEXT = "page"


@contextmanager
def planted(home: Path) -> Iterator[str]:
    """The address of the first shop's dashboard."""
    request_logs.fill(home / "spool", answers(NOW))

    def plant(engine: Engine) -> None:
        fill(engine, NOW)
        planned_experiments.plant_some(engine, NOW)
        plant_rollouts(engine, NOW, CHAMPION, BEFORE)
        plant_trainings(engine, NOW)
        settings = load_settings(home=home)
        operated_homes.plant_reports(engine, settings, "user_recency_days", version=CHAMPION, at=NOW)

    with dashboard_server(home, fill=plant, clock=lambda: NOW) as url:
        yield url


@contextmanager
def computed(home: Path) -> Iterator[str]:
    """The address of the second shop's dashboard."""
    world: ProductWorld = make_world(users=600, days=WORLD_DAYS)
    now = datetime.combine(FIRST_DAY, time(9), UTC) + PICTURED_DAYS * DAY
    settings = write_home(home, world)
    measure(settings, now=now)

    def date_back(engine: Engine) -> None:
        """Let the figures have been computed at the fixed time."""
        with engine.begin() as connection:
            connection.execute(update(measurements).values(computed_at=now))

    with dashboard_server(home, fill=date_back, clock=lambda: now, product=settings.product) as url:
        yield url


@contextmanager
def reported(home: Path) -> Iterator[str]:
    """The address of the third shop's dashboard."""
    with dashboard_server(home, fill=plant_reports_of_search, clock=lambda: NOW) as url:
        yield url


def plant_reports_of_search(engine: Engine) -> None:
    """Write four weeks of reports of a model that is not ours."""
    model = {"source": "search team", "model": "shop_search"}
    operated_homes.put(
        engine,
        reported_models,
        {
            **model, "title": "Search of the shop", "owner": "search team", "kind": "search", "version": "7",
            "url": "https://search.example/about", "runbook": "https://search.example/runbook",
            "announced_at": NOW - 30 * DAY, "seen_at": NOW - DAY / 1_440, "health_at": NOW - DAY / 1_440,
            "p99_seconds": 0.05, "answers": 84_000, "bad": 420,
        },
    )  # fmt: skip
    counts = [("measurements", 28, 0), ("health", 1_440, 0), ("feedback", 9_000, 12)]
    operated_homes.put(
        engine,
        report_counts,
        *(
            {**model, "kind": kind, "day": NOW.date(), "accepted": accepted, "rejected": rejected}
            for kind, accepted, rejected in counts
        ),
    )
    midnight = datetime.combine(NOW.date(), time(), UTC)
    figure = {"problem": "", "experiment": "", "variant": "", "slice": "", "version": "7", "unit": "share"}
    operated_homes.put(
        engine,
        measurements,
        *(
            {
                **model, **figure, "metric": "ctr_list", "window_start": midnight - (ago + 1) * DAY,
                "window_end": midnight - ago * DAY, "value": 0.1 + 0.001 * (ago % 7), "low": 0.09,
                "high": 0.12, "n": 2_000, "is_complete": True, "computed_at": midnight,
            }
            for ago in range(28)
        ),
    )  # fmt: skip


def text_of(document: str) -> str:
    """Return the words and figures of a page's content."""
    main = document[document.index("<main") : document.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def picture(page: str) -> Path:
    """Return the file with the picture of a page."""
    return IMAGES / f"dashboard_{page.partition('?')[0].replace('/', '_')}.png"


def save(drawn: Image.Image, page: str, text: str) -> None:
    """Write a picture with its text, in few colours: it is a fifth of the size."""
    info = PngInfo()
    info.add_itxt(_TEXT, text, zip=True)
    few = drawn.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(picture(page), optimize=True, pnginfo=info)


def drawn_text(page: str) -> str:
    """Return the text that a picture carries."""
    with Image.open(picture(page)) as found:
        return str(found.info[_TEXT])
