"""Ids that a problem or a setting names and the data do not have: counted, with the ones that were meant."""

from __future__ import annotations

import logging
from difflib import SequenceMatcher
from pathlib import Path
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import served_homes
from tastemaker.data.unknown_ids import nearest, unknown_ids
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.serving.runtime.version_loader import VersionLoader
from tastemaker.serving_settings import ServingSettings
from tastemaker.settings import Settings
from tastemaker.snapshot.ids import IdIndex

WORDS = st.text(st.sampled_from("abcü01-"), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("i0000036", ["i0000360", "i0000036x", "u0000001"], "i0000036x"),
        ("85123a", ["85123A", "22423"], "85123A"),
        ("27.0", ["27", "3"], "27"),
        ("Teapott", ["teapot", "cup"], "teapot"),
        ("xteapot", ["teapot", "cup"], "teapot"),
        ("größe", ["grösse", "grün"], "grösse"),
        ("nowhere", ["i1", "i2"], None),
        ("7", [], None),
        ("\0", ["a"], None),
    ],
)
def test_the_nearest_is_what_was_meant(word: str, known: list[str], found: str | None) -> None:
    assert nearest(word, IdIndex.build(known)) == found


@pytest.mark.slow
@given(WORDS, st.sets(WORDS, max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_known_id_is_nearer(word: str, known: set[str]) -> None:
    likeness = {each: SequenceMatcher(None, each.lower(), word.lower()).ratio() for each in known}
    found = nearest(word, IdIndex.build(known))
    best = max(likeness.values(), default=0.0)
    assert (found is None) == (best < 0.6)
    assert found is None or likeness[found] == pytest.approx(best)


def test_among_very_many_ids_it_is_found_too() -> None:
    rng = np.random.default_rng(0)
    index = IdIndex.build([f"{n:08x}" for n in rng.integers(0, 2**32, 50_000)] + ["4f00bazr"])
    assert nearest("4f00bar", index) == "4f00bazr"


def test_counts_examples_and_what_follows() -> None:
    known = IdIndex.build([f"item-{n:02d}" for n in range(20)])
    message = unknown_ids(
        "candidates.blocked_items", [f"item_{n:02d}" for n in range(7)] + ["item-03"], known
    )
    assert message == (
        "candidates.blocked_items: 7 of 8 are not in the data and block nothing, such as item_00 (did you "
        "mean item-00?), item_01 (did you mean item-01?), item_02 (did you mean item-02?), item_03 (did you "
        "mean item-03?), item_04 (did you mean item-04?) and 2 more"
    )
    assert unknown_ids("candidates.blocked_items", ["item-03", "item-03"], known) is None
    assert unknown_ids("serving.static_items", [], known) is None


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedVersion:
    home = tmp_path_factory.mktemp("home")
    return load_version(served_homes.make_home(home)["popularity"].folder)


def test_a_service_says_so_in_its_log(
    loaded: LoadedVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = loaded.manifest.problem_spec | {"candidates": {"blocked_items": ["item-00", "item_01"]}}
    manifest = msgspec.structs.replace(loaded.manifest, problem_spec=spec)
    version = LoadedVersion(loaded.model, loaded.snapshot, manifest, loaded.serving, loaded.folder)
    chosen = Settings(home=tmp_path, serving=ServingSettings(static_items=("item-00", "Item-02 ")))
    metrics = Mock()
    with caplog.at_level(logging.WARNING, "tastemaker.serving"):
        VersionLoader(chosen, metrics).ready(version)
    where = f"are not in the catalogue of version {manifest.version}"
    assert [record.getMessage() for record in caplog.records] == [
        f"candidates.blocked_items: 1 of 2 {where} and block nothing, such as item_01 (did you mean "
        "item-01?)",
        f"serving.static_items: 1 of 2 {where} and are shown all the same where no model answers, such as "
        "Item-02  (did you mean item-02?)",
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tastemaker.serving"):
        VersionLoader(Settings(home=tmp_path), metrics).ready(loaded)
    assert caplog.records == []
