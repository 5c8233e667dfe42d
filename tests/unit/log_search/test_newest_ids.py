"""Examples for an alert's message: the newest matches, from the spool alone where that has enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.request_logs import fill, request, settings_of
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.log_search import newest_ids as module
from tastemaker.log_search.newest_ids import newest_ids


def test_the_newest_matches_come_first_from_the_spool_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path)
    fallbacks = {2: "model_invalid", 5: "model_invalid", 7: "model_invalid", 8: "model_timeout"}
    fill(settings.spool, [request(number, fallback=fallbacks.get(number)) for number in range(10)])
    monkeypatch.setattr(module, "search", None)
    found = newest_ids("model:random fallback:model_invalid", settings, 3)
    assert found == [request(number).request_id for number in (7, 5, 2)]


def test_the_lake_is_read_where_the_spool_has_too_few(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    fill(settings.spool, [request(1), request(2)])
    drain(settings.spool, Lake(settings.lake))
    fill(settings.spool, [request(3)])
    assert newest_ids("model:random", settings, 3) == [request(number).request_id for number in (3, 2, 1)]
    assert newest_ids("model:other", settings, 3) == []


def test_a_home_without_a_log_has_none_and_a_wrong_query_is_an_error(tmp_path: Path) -> None:
    assert newest_ids("model:random", settings_of(tmp_path), 3) == []
    with pytest.raises(TastemakerError, match="the query names a field"):
        newest_ids("colour:red", settings_of(tmp_path), 3)
