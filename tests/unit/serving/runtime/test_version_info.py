"""The versions of a server's workers: those of now, and of the workers that run."""

from __future__ import annotations

from pathlib import Path

from tastemaker.registry.deployment import Target
from tastemaker.serving.runtime.version_info import VersionInfo

FIRST, SECOND, THIRD = (Target("ease", version) for version in ("v1", "v2", "v3"))


def shown(info: VersionInfo, *living: int) -> dict[str, list[str]]:
    """The versions on the page by what they are."""
    return {
        family.name: [sample.labels["version"] for sample in family.samples]
        for family in info.collect(living)
        if all(sample.value == 1 for sample in family.samples)
    }


def test_what_several_engines_name_is_shown_once_until_the_last_of_them_leaves_it() -> None:
    info = VersionInfo("")
    for _ in range(2):
        info.move("served", None, FIRST)
    info.move("wanted", None, SECOND)
    assert shown(info) == {"served_version_info": ["v1"], "wanted_version_info": ["v2"]}
    info.move("served", FIRST, SECOND)
    assert shown(info)["served_version_info"] == ["v1", "v2"]
    info.move("served", FIRST, None)
    info.move("wanted", SECOND, None)
    assert shown(info) == {"served_version_info": ["v2"], "wanted_version_info": []}


def test_any_worker_shows_the_versions_of_those_that_run(tmp_path: Path) -> None:
    one, two = VersionInfo("", tmp_path, 1), VersionInfo("", tmp_path, 2)
    one.move("served", None, FIRST)
    two.move("served", None, SECOND)
    for worker in (one, two):
        assert shown(worker, 1, 2)["served_version_info"] == ["v1", "v2"]
    assert shown(one, 1)["served_version_info"] == ["v1"]
    two.move("served", SECOND, FIRST)
    assert shown(one, 1, 2)["served_version_info"] == ["v1"]
    replaced = VersionInfo("", tmp_path, 2)
    assert (
        shown(one, 1, 2)
        == shown(replaced, 1, 2)
        == {"served_version_info": ["v1"], "wanted_version_info": []}
    )


def test_a_worker_whose_file_is_missing_or_cut_off_has_no_version(tmp_path: Path) -> None:
    info = VersionInfo("", tmp_path, 1)
    info.move("served", None, FIRST)
    (tmp_path / "versions-2.json").write_text('{"served": [["ease"')
    assert shown(info, 1, 2, 3)["served_version_info"] == ["v1"]


def test_without_room_a_worker_shows_its_own(tmp_path: Path) -> None:
    info = VersionInfo("", tmp_path / "missing", 1)
    info.move("served", None, THIRD)
    assert shown(info, 1)["served_version_info"] == ["v3"]


def test_versions_of_the_past_take_no_room(tmp_path: Path) -> None:
    info, before = VersionInfo("", tmp_path), FIRST
    sizes = set[int]()
    for number in range(100, 400):
        after = Target("ease", f"w{number}")
        for use in ("served", "wanted"):
            info.move(use, None if before is FIRST else before, after)
        before = after
        sizes.add(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert len(sizes) == 1
    assert shown(info) == {"served_version_info": ["w399"], "wanted_version_info": ["w399"]}
