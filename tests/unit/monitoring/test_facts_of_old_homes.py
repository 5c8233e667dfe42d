"""Facts are read each minute: they take as long after years as after months."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from support.aged_homes import age, counted_steps, version_of
from support.dashboard_homes import dashboard_engine
from tastemaker.dashboard.reader import utc_now
from tastemaker.monitoring.fact_families import FactSources
from tastemaker.monitoring.facts import SUBJECTS, Subject
from tastemaker.monitoring.lake_reading import AnsweringVersion, LakeReading
from tastemaker.settings import Settings

YOUNG, OLD = 130, 390
"""Days of use."""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Settings, Engine]]]:
    young, old = (tmp_path_factory.mktemp(name) for name in ("young", "old"))
    with dashboard_engine(young) as first, dashboard_engine(old) as second:
        age(first[1], range(YOUNG))
        age(second[1], range(OLD))
        yield [first, second]


def steps(settings: Settings, engine: Engine, subject: Subject) -> Counter[str]:
    now = utc_now()
    answering = [AnsweringVersion("als", version_of(0), now.timestamp())]
    home = FactSources(settings, engine, LakeReading(answering=answering), now)
    with counted_steps(engine) as found:
        list(subject(home))
    return found


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.__name__)
def test_facts_read_no_more_of_an_old_home(homes: list[tuple[Settings, Engine]], subject: Subject) -> None:
    young, old = (steps(*home, subject) for home in homes)
    more = {one: (young[one], n) for one, n in old.items() if n > young[one] + 40}
    assert not more, "the steps of a statement grow with the age"
