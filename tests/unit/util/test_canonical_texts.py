"""The form of texts: in Python and in SQL, in every column and from every way in."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.api.schemas import FeedbackEvent, ItemUpsert, UserUpsert
from tastemaker.data.sources import open_source
from tastemaker.problem import ProblemSpec
from tastemaker.serving.writes.feedback import feedback_records
from tastemaker.serving.writes.upserts import item_records, user_records
from tastemaker.settings import SourceSettings
from tastemaker.util.canonical_texts import canonical_text, canonical_text_sql

WAYS = ["Möbel", "Mo\u0308bel", " Möbel  ", "Möbel\u00a0", "\ufeffMo\u0308bel\u200b", "\tMöbel\n"]
"""One text as databases of fixed width, spreadsheets and other systems write it."""


def test_blanks_within_and_letter_case_stay() -> None:
    assert [canonical_text(each) for each in (" Wine  and beer", "BEER", "27.0", "", "\u00a0")] == [
        "Wine  and beer",
        "BEER",
        "27.0",
        "",
        "",
    ]


@given(
    st.lists(st.sampled_from([*"aZ0 \t\n'", "\u00a0", "\u0301", "\u0308", "é", "\u200b", "ﬁ", "日"])).map(
        "".join
    )
)
def test_sql_and_python_agree(text: str) -> None:
    with duckdb.connect() as connection:
        rows = connection.from_arrow(pa.table({"t": [text]})).project(canonical_text_sql("t")).fetchall()
    assert rows == [(canonical_text(text),)]
    assert canonical_text(canonical_text(text)) == canonical_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("written", WAYS)
def test_every_way_in_gives_one_form(tmp_path: Path, written: str) -> None:
    """Files, services and the problem file: else a category that is blocked would be shown."""
    (tmp_path / "events.csv").write_text(
        f'user_id,item_id,occurred_at,event_type\nu,i,2024-01-01,"{written}"\n', encoding="utf-8"
    )
    (tmp_path / "items.csv").write_text(
        f'item_id,title,category,brand\ni,"{written}","{written}","{written}"\n', encoding="utf-8"
    )
    (tmp_path / "users.csv").write_text(
        f'user_id,country,segment\nu,"{written}","{written}"\n', encoding="utf-8"
    )
    source = open_source(
        SourceSettings(
            path=tmp_path / "events.csv",
            items=str(tmp_path / "items.csv"),
            users=str(tmp_path / "users.csv"),
            item_columns=("brand",),
            user_columns=("segment",),
        )
    )
    [event] = pa.concat_tables(source.read(None, 10)).to_pylist()
    [item], [user] = source.items().to_pylist(), source.users().to_pylist()
    [item_record] = item_records([ItemUpsert("i", written, written)], 0.0)
    [user_record] = user_records([UserUpsert("u", written)], 0.0)
    [feedback] = feedback_records([FeedbackEvent("e", written, "i", "u")], 0.0)
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "objectives": [{"name": "o", "events": {written: {}}}],
            "candidates": {"blocked_categories": [written]},
        }
    )
    assert {
        event["event_type"],
        *(item[name] for name in ("title", "category")),
        dict(item["own"])["brand"],
        user["country"],
        dict(user["own"])["segment"],
        item_record.title,
        item_record.category,
        user_record.country,
        feedback.event_type,
        *problem.event_weights,
        *problem.candidates.blocked_categories,
    } == {"Möbel"}


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u200b\t"])
def test_feedback_of_a_blank_type_is_refused_at_once(blank: str) -> None:
    """Validation would reject it after it was acknowledged."""
    sent = msgspec.json.encode({"event_id": "e", "event_type": blank, "item_id": "i", "user_id": "u"})
    with pytest.raises(msgspec.ValidationError, match="`event_type` is blank"):
        msgspec.json.decode(sent, type=FeedbackEvent)
