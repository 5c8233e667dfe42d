"""A version on disk: whole or not there, unaltered or refused."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import registered_versions
from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins import Config, Recommender, discovery
from tastemaker.registry import Registry
from tastemaker.registry.artifact import export_version, load_version
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.storage.engine import open_engine


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    return Registry(open_engine(f"sqlite:///{tmp_path / 'meta.db'}"), tmp_path / "artifacts")


def test_a_loaded_version_equals_the_stored_one(registry: Registry) -> None:
    version = registered_versions.add(registry, weight=2.0)
    loaded = registry.open(version)
    batch = loaded.snapshot.batch(np.array([0, -1], np.int32), seeds=np.zeros(2, np.uint64))
    expected = registered_versions.toy(2.0).recommend(batch, 3)
    for found, wanted in zip(loaded.model.recommend(batch, 3), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    manifest = loaded.manifest
    assert manifest == version.manifest
    assert (manifest.distribution, manifest.distribution_version) == ("tastemaker-toys", "1.2.3")
    assert (manifest.config, manifest.counts["events"], manifest.seed) == ({"weight": 2.0}, 4, 0)
    assert manifest.version == version.folder.name
    assert manifest.version.endswith(manifest.content_hash[:12])


def test_the_same_training_gives_the_same_content_hash(registry: Registry) -> None:
    first, second, other = (
        registered_versions.add(registry),
        registered_versions.add(registry),
        registered_versions.add(registry, weight=3),
    )
    assert first.content_hash == second.content_hash != other.content_hash
    assert len(list((registry.artifacts / "snapshots").iterdir())) == 1  # shared


def test_a_version_without_precomputed_files_can_be_loaded(registry: Registry) -> None:
    version = registered_versions.add(registry)
    path = version.folder / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes())
    assert manifest.pop("serving_files") == {}
    path.write_bytes(msgspec.json.encode(manifest))
    assert load_version(version.folder).serving is None


def test_the_ids_of_a_problem_are_those_of_its_versions(registry: Registry) -> None:
    other = registered_versions.problem(name="other")
    mine = {registered_versions.add(registry, weight=weight).id for weight in (1.0, 2.0)}
    theirs = registered_versions.add(registry, spec=other, weight=3.0).id
    assert (registry.ids("shop"), registry.ids("other"), registry.ids("none")) == (mine, {theirs}, set())


def test_no_temporary_files_remain(registry: Registry) -> None:
    version = registered_versions.add(registry)
    assert [path.name for path in version.folder.parent.iterdir()] == [version.id]
    assert sorted(path.name for path in version.folder.iterdir()) == ["manifest.json", "model"]


def _precompute(model: Recommender[Any], snapshot: Snapshot, folder: Path) -> None:
    np.save(folder / "likes.npy", np.arange(len(snapshot.item_ids)))


def test_precomputed_files_are_part_of_the_version(registry: Registry, tmp_path: Path) -> None:
    plain, version = (
        registered_versions.add(registry),
        registered_versions.add(registry, precompute=_precompute),
    )
    assert plain.content_hash != version.content_hash
    assert registry.open(plain).serving is None
    export_version(version.folder, tmp_path / "exported")
    serving = load_version(tmp_path / "exported").serving
    assert serving is not None
    assert np.load(serving / "likes.npy").tolist() == [0, 1, 2]
    (serving / "likes.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"likes\.npy"):
        load_version(tmp_path / "exported")


def _cut_short(folder: Path) -> None:
    path = folder / "model/scores.npy"
    path.write_bytes(path.read_bytes()[:-1])


def _flip_a_byte(folder: Path) -> None:
    path = folder / "model/scores.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _flip_in_the_snapshot(folder: Path) -> None:
    (path,) = folder.parent.parent.glob("snapshots/*/popular.npy")
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def _rewrite(**changes: Any) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
        (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest | changes))

    return rewrite


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_short, r"scores\.npy in .* has 139 bytes, must have 140"),
        (_flip_a_byte, r"scores\.npy in .* was altered: its SHA-256 is"),
        (_flip_in_the_snapshot, r"popular\.npy in .* was altered"),
        (lambda folder: (folder / "model/scores.npy").unlink(), r"scores\.npy is missing"),
        (lambda folder: (folder / "model/extra.npy").touch(), r"extra\.npy in .* is not in the manifest"),
        (lambda folder: shutil.rmtree(folder / "model"), r"scores\.npy is missing"),
        (lambda folder: shutil.rmtree(folder.parent.parent / "snapshots"), r"is missing in .*snapshots"),
        (lambda folder: (folder / "manifest.json").unlink(), r"holds no manifest\.json.*never finished"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json can't be read"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), r"manifest\.json can't be read"),
        (_rewrite(config={"weight": 9.0}), r"was altered: content_hash is"),
        (_rewrite(problem_spec={}), r"was altered: problem_hash is"),
        (_rewrite(snapshot_files={}), r"was altered: snapshot is"),
        (_rewrite(format=2), r"has format 2, this Tastemaker reads 1"),
        (_rewrite(surprise=1), r"unknown field `surprise`"),
        (_rewrite(seed="x"), r"Expected `int`"),
    ],
)
def test_incomplete_or_altered_versions_are_refused(
    registry: Registry, damage: Callable[[Path], None], message: str
) -> None:
    version = registered_versions.add(registry)
    damage(version.folder)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_version(version.folder)
    assert caught.value.fix


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(registry: Registry, data: st.DataObject) -> None:
    listed = registry.list()
    version = listed[0] if listed else registered_versions.add(registry)
    files = sorted(path for path in version.folder.rglob("*.npy") if path.is_file())
    files += sorted(registry.artifacts.glob("snapshots/*/*"))
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(
        whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    )
    try:
        with pytest.raises(ArtifactError, match="was altered"):
            load_version(version.folder)
    finally:
        path.write_bytes(whole)
    load_version(version.folder)


def test_another_interface_version(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registered_versions.add(registry)
    monkeypatch.setattr("tastemaker.registry.artifact.INTERFACE_VERSION", 2)
    with pytest.raises(ArtifactError, match="made for interface version 1, this platform has version 2"):
        load_version(version.folder)


def test_a_config_that_the_plugin_no_longer_takes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registered_versions.add(registry)

    class Stricter(registered_versions.ToyConfig):
        depth: int

    class Newer(registered_versions.Toy):
        config_type: ClassVar[type[Config]] = Stricter

    monkeypatch.setattr(
        discovery, "get", lambda name: registered_versions.plugin()._replace(recommender=Newer)
    )
    with pytest.raises(ArtifactError, match=r"tastemaker-toys 1\.2\.3 no longer takes the config") as caught:
        load_version(version.folder)
    assert caught.value.problem.endswith(":\n    depth: Field required")
    assert "install tastemaker-toys 1.2.3" in str(caught.value.fix)


def test_an_uninstalled_plugin(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registered_versions.add(registry)
    monkeypatch.undo()
    with pytest.raises(PluginError, match="no model named 'toy' is installed"):
        load_version(version.folder)


def test_an_exported_version_is_self_contained(registry: Registry, tmp_path: Path) -> None:
    version = registered_versions.add(registry)
    export_version(version.folder, tmp_path / "bento" / "version")
    shutil.rmtree(registry.artifacts)
    loaded = load_version(tmp_path / "bento" / "version")
    assert loaded.manifest == version.manifest
    assert loaded.snapshot.item_ids.decode([0]) == ["a"]


def test_a_damaged_version_is_not_exported(registry: Registry, tmp_path: Path) -> None:
    version = registered_versions.add(registry)
    _flip_a_byte(version.folder)
    with pytest.raises(ArtifactError, match="altered"):
        export_version(version.folder, tmp_path / "bento")
    assert not (tmp_path / "bento").exists()


def test_the_next_version_repairs_a_damaged_shared_snapshot(registry: Registry) -> None:
    first = registered_versions.add(registry)
    _flip_in_the_snapshot(first.folder)
    registered_versions.add(registry)
    load_version(first.folder)


@pytest.mark.parametrize("after", range(10))
def test_a_full_disk_leaves_no_files(registry: Registry, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The snapshot takes eight arrays and the model one: fail at each of them, then not at all."""
    save, calls = np.save, iter(range(100))

    def fail(*args: Any, **options: Any) -> None:
        if next(calls) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", fail)
        if after < 9:
            with pytest.raises(ArtifactError, match="No space left on device") as caught:
                registered_versions.add(registry)
            assert "nothing was registered" in str(caught.value.fix)
    assert registry.list() == []
    assert list(registry.artifacts.glob("toy/*")) == []
    assert registry.open(registered_versions.add(registry)).manifest.model == "toy"


def test_a_crash_before_the_row_leaves_nothing_visible(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tastemaker.registry.registry.insert", lambda table: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registered_versions.add(registry)
    assert registry.list() == []
    registered_versions.add(registry)
    assert len(registry.list()) == 1
