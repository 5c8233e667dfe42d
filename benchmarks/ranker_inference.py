"""LightGBM itself or ONNX Runtime: which scores one user's candidates sooner, and do they agree?

The ranker is fitted here on a real shop (UCI Online Retail), and asked as a service asks it: one user, 100 to
500 candidates, one thread. ONNX is no dependency of the project; it gets an environment of its own:

    uv venv /tmp/onnx && uv pip install --python /tmp/onnx/bin/python lightgbm onnxmltools onnxruntime numpy
    python benchmarks/ranker_inference.py online_retail.parquet /tmp/onnx/bin/python
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

CANDIDATES = (100, 200, 500)
THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)
ROUNDS, CALLS = 60, 20


def make(shop: str, folder: Path) -> None:
    """Fit the ranker; write its trees, and the columns of some users' candidates."""
    import duckdb

    from tastemaker.data.ids import IdIndex
    from tastemaker.plugins import Batch, Events, TrainingData
    from tastemaker_ranker.ranker import Ranker

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT CustomerID::VARCHAR, StockCode, epoch(InvoiceDate)::BIGINT AS time FROM read_parquet(?) "
            "WHERE CustomerID IS NOT NULL AND Quantity > 0 ORDER BY time",
            [shop],
        ).fetchall()
    people, goods = (IdIndex.build(row[part] for row in rows) for part in (0, 1))
    users, items = (ids.lookup([row[part] for row in rows]) for part, ids in enumerate((people, goods)))
    times = np.array([row[2] for row in rows])
    events = Events(users, items, np.ones(len(rows), np.float32), times)
    data = TrainingData(events, len(people), len(goods), end=int(times[-1]) + 1)
    model = Ranker().fit(data)
    assert model.booster is not None
    chosen = np.arange(0, len(people), max(len(people) // 40, 1), dtype=np.int32)
    batch = Batch(chosen, data.history[chosen], np.zeros(len(chosen), np.uint64), now=data.end)
    _, features = model._describe(batch)
    whole = microseconds(lambda one: model.recommend(one, 10), batch[:1], rounds=20, calls=1)
    print(f"a whole request of the ranker, its retrievers and columns included: {whole:,.0f} us")
    (folder / "trees.txt").write_text(model.booster.model_to_string())
    np.save(folder / "features.npy", features)


def rounded_down(line: re.Match[str]) -> str:
    """Thresholds as the greatest float32 not above: x <= t then means the same for every float32 x.

    ONNX keeps float32, and the converter rounds to the nearest: a row at the threshold takes another branch.
    """
    values = np.array(line[1].split(), np.float64)
    near = values.astype(np.float32)
    down = np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
    return "threshold=" + " ".join(repr(float(value)) for value in down)


def race(folder: Path) -> None:
    """Both on the same rows: microseconds, greatest difference, and whether they order them alike."""
    import lightgbm
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    text = (folder / "trees.txt").read_text()
    booster = lightgbm.Booster(model_str=text)
    features = np.load(folder / "features.npy")
    shape = FloatTensorType([None, features.shape[1]])
    exact = lightgbm.Booster(model_str=SIZES.sub("", THRESHOLDS.sub(rounded_down, text)))
    converted = convert_lightgbm(exact, initial_types=[("x", shape)], zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(converted.SerializeToString(), options)

    def native(rows: Any) -> Any:
        return booster.predict(rows, num_threads=1)

    def onnx(rows: Any) -> Any:
        return session.run(None, {"x": rows})[0][:, 0]

    print(f"{booster.num_trees()} trees, {features.shape[1]} columns, one thread")
    for n in CANDIDATES:
        rows = np.ascontiguousarray(features[:n], np.float32)
        ours, theirs = native(rows), onnx(rows)
        # Sums of floats in another order: equal ones may differ in their last bits.
        first, second = (np.argsort(-np.round(each, 5), kind="stable") for each in (ours, theirs))
        alike = np.array_equal(first, second)
        fast, slow = microseconds(native, rows), microseconds(onnx, rows)
        print(
            f"  {n} candidates  LightGBM {fast:5.0f} us  ONNX Runtime {slow:5.0f} us  ratio {fast / slow:.1f}"
            f"   same order {alike}, greatest difference {np.abs(ours - theirs).max():.1e}"
        )


def microseconds(
    score: Callable[[Any], object], rows: Any, rounds: int = ROUNDS, calls: int = CALLS
) -> float:
    """The fastest of many short rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            score(rows)
        best = min(best, time.perf_counter() - start)
    return best / calls * 1e6


if __name__ == "__main__":
    if sys.argv[1] == "race":
        race(Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as made:
            make(sys.argv[1], Path(made))
            subprocess.run([sys.argv[2], __file__, "race", made], check=True)
