"""A page takes as long after years as after months: it reads what it shows, by an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.aged_homes import age, counted_steps, version_of
from support.dashboard_homes import dashboard_engine
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import PAGES, definitions, foreign_models, model_version
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.settings import Settings

YOUNG, OLD = 130, 390
"""Days of use. The longest periods of a page are over in the young home, too."""
ONE = [page for page in PAGES if "{" not in page.path and page is not definitions.PAGE]
"""Pages that need no number. Definitions reads all figures of foreign metrics: their units may change."""
PAIRS = {
    **{page.path: (page, PageFilters()) for page in ONE},
    "a version": (model_version.PAGE, PageFilters(path={"version": version_of(0)})),
    "a metric": (foreign_models.PAGE, PageFilters(query={"metric": "x_smiles"})),
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, tuple[Settings, Engine]]]:
    young, old = (tmp_path_factory.mktemp(name) for name in ("young", "old"))
    with dashboard_engine(young) as first, dashboard_engine(old) as second:
        for (_, engine), days in ((first, YOUNG), (second, OLD)):
            age(engine, range(days))
        yield {YOUNG: first, OLD: second}


def steps(settings: Settings, engine: Engine, page: DashboardPage, filters: PageFilters) -> Counter[str]:
    """Return the steps of a page's statements; the number of all reports is counted row by row."""
    with counted_steps(engine) as found:
        page.load(DashboardReader(engine, settings), filters, ON_THIS_MACHINE)
    return Counter({one: n for one, n in found.items() if not one.startswith("SELECT count(*) AS count_1")})


@pytest.mark.parametrize("name", PAIRS)
def test_a_page_reads_no_more_of_an_old_home(homes: dict[int, tuple[Settings, Engine]], name: str) -> None:
    young, old = (steps(*homes[days], *PAIRS[name]) for days in (YOUNG, OLD))
    more = {one: (young[one], n) for one, n in old.items() if n > young[one] + 40}
    assert not more, "the steps of a statement grow with the age"
