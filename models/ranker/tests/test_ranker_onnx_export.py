"""The ONNX graph scores as LightGBM does, to the last bit, and a service gets by with it alone."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError
from tastemaker.plugins import Events, TrainingData
from tastemaker_ranker import onnx_export
from tastemaker_ranker.ranker import Ranker, RankerConfig

COLUMNS = 6


def grown(seed: int, leaves: int = 15, **parameters: Any) -> str:
    """The text of trees that learned from a grid of values, half of the columns with NaN."""
    rng = np.random.default_rng(seed)
    features = np.round(rng.normal(size=(600, COLUMNS)), 1) * rng.choice([0.01, 1, 1e6])
    features[:, ::2][rng.random((600, COLUMNS // 2)) < 0.3] = np.nan
    labels = (
        (np.nan_to_num(features[:, 0], nan=1) > 0).astype(int)
        + (features[:, 1] > 0)
        + (rng.random(600) < 0.2)
    )
    settled = {"objective": "lambdarank", "verbosity": -1, "num_threads": 1, "num_leaves": leaves}
    table = lightgbm.Dataset(features.astype(np.float32), labels, group=[20] * 30, params={"verbosity": -1})
    return lightgbm.train(settled | {"min_data_in_leaf": 5} | parameters, table, 12).model_to_string()


def both(text: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnx_export.load(onnx_export.convert(text, COLUMNS), COLUMNS, "test")
    theirs = lightgbm.Booster(model_str=text).predict(rows, num_threads=1)
    return onnx_export.score(session, rows), np.asarray(theirs)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 40))
def test_scores_are_lightgbm_s_to_the_last_bit(seed: int, leaves: int) -> None:
    text = grown(seed, leaves)
    rng = np.random.default_rng(seed + 1)
    thresholds = np.array(" ".join(re.findall("^threshold=(.*)$", text, re.MULTILINE)).split(), np.float32)
    around = [np.nextafter(thresholds, np.float32(end)) for end in (-np.inf, np.inf)]
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-38, -1e-38], np.float32)
    values = np.concatenate([thresholds, *around, special])
    rows = rng.choice(values, (500, COLUMNS))

    ours, theirs = both(text, rows)

    np.testing.assert_array_equal(ours, theirs.astype(np.float32))
    assert len(np.unique(ours)) > 4


def test_trees_without_a_split_score_all_rows_equally() -> None:
    text = grown(1, min_data_in_leaf=600)
    assert "num_leaves=1\n" in text

    ours, theirs = both(text, np.zeros((3, COLUMNS), np.float32))

    np.testing.assert_array_equal(ours, theirs)


def test_blocks_do_not_change_scores_and_no_rows_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    text, rows = grown(2), np.random.default_rng(2).normal(size=(50, COLUMNS)).astype(np.float32)
    whole, _ = both(text, rows)
    monkeypatch.setattr(onnx_export, "BLOCK", 7)

    np.testing.assert_array_equal(both(text, rows)[0], whole)
    session = onnx_export.load(onnx_export.convert(text, COLUMNS), COLUMNS, "test")
    assert onnx_export.score(session, rows[:0]).shape == (0,)


def test_the_same_trees_give_the_same_bytes() -> None:
    assert onnx_export.convert(grown(3), COLUMNS) == onnx_export.convert(grown(3), COLUMNS)


@pytest.mark.parametrize("asked", ["categories", "zeros for missing values"])
def test_unsupported_splits_are_refused(asked: str) -> None:
    features = np.random.default_rng(4).integers(0, 4, (600, COLUMNS)).astype(np.float32)
    table = lightgbm.Dataset(
        features,
        features[:, 1] == 2,
        categorical_feature=[1] if asked == "categories" else [],
        params={"verbosity": -1, "zero_as_missing": asked != "categories"},
    )
    text = lightgbm.train({"verbosity": -1, "num_threads": 1}, table, 3).model_to_string()

    with pytest.raises(ValueError, match=asked):
        onnx_export.convert(text, COLUMNS)


def test_a_graph_of_other_columns_is_refused() -> None:
    model = onnx_export.convert(grown(5), COLUMNS)

    with pytest.raises(ArtifactError, match="no ranking trees for 7 columns"):
        onnx_export.load(model, COLUMNS + 1, "model.onnx")


ASKED = """
import sys
from pathlib import Path
import numpy as np
from tastemaker.plugins import Batch, History
from tastemaker_ranker.ranker import Ranker, RankerConfig

config = RankerConfig.model_validate_json(sys.argv[2])
model = Ranker.load(Path(sys.argv[1]), config)
batch = Batch(np.array([-1], np.int32), History.empty(1, 20), np.zeros(1, np.uint64), 10**6)
ranking = model.recommend(batch, 5)
print(*[name for name in ("lightgbm", "onnx", "pandas", "sklearn") if name in sys.modules], "served")
print("explained" if model.contributions(batch, ranking.items[0]).values.any() else "not explained")
print("lightgbm" in sys.modules)
"""


@pytest.mark.processes
@pytest.mark.slow
def test_only_explanations_import_lightgbm_and_no_telemetry_is_sent(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    users, items = (rng.integers(0, 20, 1_500, dtype=np.int32) for _ in range(2))
    times = np.sort(rng.integers(0, 100 * 86_400, 1_500))
    events = Events(users, items, np.ones(1_500, np.float32), times)
    config = RankerConfig(retrievers=("popularity", "bought_again"), trees=5, min_leaf_rows=2, label_days=10)
    (tmp_path / "artifact").mkdir()
    (tmp_path / "home").mkdir()
    Ranker(config).fit(TrainingData(events, 20, 20, 100 * 86_400)).save(tmp_path / "artifact")
    homes = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    # ONNX Runtime also keeps quiet in what looks like a test.
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}

    answer = subprocess.run(
        [sys.executable, "-c", ASKED, str(tmp_path / "artifact"), config.model_dump_json()],
        env={name: value for name, value in os.environ.items() if name not in quiet} | homes,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == ["served", "explained", "True"]
    assert answer.stderr == ""
    assert (
        list((tmp_path / "home").iterdir()) == []
    )  # its reports begin with a file for the device's identifier
