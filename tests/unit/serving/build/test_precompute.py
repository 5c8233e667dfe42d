"""What a version carries for the day that its model does not answer, and to be known by."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest

from support import served_homes
from tastemaker.api.schemas import Request
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    FeatureTable,
    Ranking,
    Recommender,
    TrainingData,
    discovery,
    select,
)
from tastemaker.plugins.discovery import Plugin
from tastemaker.registry import Registry, Version
from tastemaker.registry.artifact import load_version
from tastemaker.serving.build.precompute import precomputing
from tastemaker.serving.inference.fallback_reasons import MODEL_ERROR
from tastemaker.serving.inference.precomputed_lists import PrecomputedLists
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.serving.runtime import golden_requests
from tastemaker.serving_settings import ServingSettings
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

N_USERS, N_ITEMS = served_homes.N_USERS, served_homes.N_ITEMS


class Tidy(Recommender[Config]):
    """User u gets item u first, then u + 1 and so on; an unknown user item 0. Half of it is a feature."""

    name = "tidy"
    reference = "none"
    config_type = Config
    capabilities = Capabilities(personalizes=True, user_features=("user_events_count",))
    state = ("n_items",)

    def fit(self, data: TrainingData) -> Self:
        self.n_items = np.array([data.n_items])
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        assert batch.user_features is not None
        n = int(self.n_items[0])
        first = np.maximum(batch.users, 0) + np.nan_to_num(batch.user_features.values[:, 0])
        return select((-((first[:, None] - np.arange(n)) % n)).astype(np.float32), batch, k)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> type[Tidy]:
    """The model, as if it were installed; a class of each test's own."""
    kind: type[Tidy] = type("Tidy", (Tidy,), {})
    plugin = Plugin("tidy", kind, "tastemaker-tidy", "1.0", "nowhere:Tidy")
    monkeypatch.setattr(discovery, "get", lambda name: plugin)
    return kind


def register(home: Path, kind: type[Tidy], **serving: Any) -> Version:
    """A version of the model with what is precomputed."""
    lake = Lake(home / "lake")
    served_homes.fill(lake, served_homes.events())
    cut = Dataset.load(lake, served_homes.problem()).cut()
    features = Mock()
    features.users = lambda before: FeatureTable(("user_events_count",), np.ones((N_USERS, 1), np.float32))
    settings = Settings(home=home, serving=ServingSettings(**serving))
    return Registry(open_engine(settings.metadata_url), settings.artifacts).add(
        kind().fit(cut.training(0)),
        problem=served_homes.problem(),
        snapshot=cut.snapshot(),
        window=(cut.start, cut.end),
        counts={"events": 1, "users": N_USERS, "items": N_ITEMS},
        seed=0,
        precompute=precomputing(settings, features),
    )


def test_each_user_has_the_list_that_the_model_would_give(tmp_path: Path, installed: type[Tidy]) -> None:
    version = register(tmp_path, installed, precomputed_items=4)
    serving = load_version(version.folder).serving
    assert serving is not None
    lists = PrecomputedLists.load(serving)
    assert lists is not None
    # With the feature, 1 for all users, user u's best item is u + 1 and the next best one less.
    assert lists.of(3).tolist() == [4, 3, 2, 1]
    assert lists.of(N_USERS - 1).tolist() == [(N_USERS - n) % N_ITEMS for n in range(4)]
    assert lists.of(-1).tolist() == [0, N_ITEMS - 1, N_ITEMS - 2, N_ITEMS - 3], (
        "an unknown user has no features"
    )
    assert lists.of(N_USERS + 5).tolist() == lists.of(-1).tolist()


def test_only_those_who_came_last_have_lists_where_there_are_too_many(
    tmp_path: Path, installed: type[Tidy]
) -> None:
    version = register(tmp_path, installed, precomputed_users=5)
    serving = load_version(version.folder).serving
    assert serving is not None
    kept = np.load(serving / "lists.users.npy")
    events = served_homes.events().to_pylist()
    latest = {row["user_id"]: row["occurred_at"] for row in events}  # oldest first
    newest = sorted(latest, key=lambda user: latest[user])[-5:]
    assert kept.tolist() == sorted(int(user.removeprefix("user-")) for user in newest)


def test_a_model_that_fails_is_answered_for_by_its_own_list(tmp_path: Path, installed: type[Tidy]) -> None:
    version = register(tmp_path, installed, precomputed_items=4)
    loaded = load_version(version.folder)
    installed.recommend = Mock(side_effect=RuntimeError("no"))  # type: ignore[method-assign]
    predictor = Predictor(loaded)
    asks = [
        InferenceRequest(Request(user_id=user, k=6, exclude=["item-03"]), "0" * 32, 2e9)
        for user in ("user-03", "unknown")
    ]
    popular = loaded.snapshot.item_ids.decode(loaded.snapshot.popular)
    for served, own in zip(
        predictor.recommend(asks),
        (["item-04", "item-02", "item-01"], ["item-00", "item-24", "item-23", "item-22"]),
        strict=True,
    ):
        answer = served.answer
        shown = [item.item_id for item in answer.items]
        assert (answer.stage, answer.fallback) == ("precomputed", MODEL_ERROR)
        assert shown[: len(own)] == own
        rest = [item for item in popular if item not in own and item != "item-03"]
        assert shown[len(own) :] == rest[: 6 - len(own)]


def test_a_version_that_answers_otherwise_than_it_did_is_refused(
    tmp_path: Path, installed: type[Tidy]
) -> None:
    version = register(tmp_path, installed)
    golden_requests.check(load_version(version.folder))

    def reversed_(self: Tidy, batch: Batch, k: int) -> Ranking:
        return select(np.tile(np.arange(N_ITEMS, dtype=np.float32), (len(batch), 1)), batch, k)

    installed.recommend = reversed_  # type: ignore[method-assign]
    with pytest.raises(ArtifactError, match=f"tidy {version.id} answers differently") as caught:
        golden_requests.check(load_version(version.folder))
    assert "tastemaker-tidy 1.0" in str(caught.value.fix)


def test_a_model_that_can_not_answer_is_not_registered(tmp_path: Path, installed: type[Tidy]) -> None:
    installed.recommend = Mock(side_effect=RuntimeError("no"))  # type: ignore[method-assign]
    with pytest.raises(PluginError, match="model tidy failed to recommend: RuntimeError: no"):
        register(tmp_path, installed)
    assert not list((tmp_path / "artifacts" / "tidy").iterdir())


@pytest.mark.parametrize("name", ["lists.npy", "lists.users.npy", "golden.json"])
def test_what_is_precomputed_is_verified_with_the_version(
    tmp_path: Path, installed: type[Tidy], name: str
) -> None:
    version = register(tmp_path, installed)
    path = version.folder / "serving" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} in .* was altered"):
        load_version(version.folder)


def test_a_golden_file_that_is_none_is_refused(tmp_path: Path, installed: type[Tidy]) -> None:
    version = register(tmp_path, installed)
    loaded = load_version(version.folder)
    assert loaded.serving is not None
    (loaded.serving / golden_requests.FILE_NAME).write_bytes(msgspec.json.encode({"users": "all"}))
    with pytest.raises(ArtifactError, match=r"golden\.json can't be read"):
        golden_requests.check(loaded)
    shutil.rmtree(loaded.serving)
    golden_requests.check(loaded)  # a version of old has none
