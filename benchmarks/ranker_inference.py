"""LightGBM itself or ONNX Runtime: which scores one user's candidates sooner, and do they agree?

The ranker is fitted here on a real shop (UCI Online Retail), and asked as a service asks it: one user, 100 to
500 candidates, one thread. Then what each library costs a process that loads it.

    python benchmarks/ranker_inference.py online_retail.parquet
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

from support.online_retail import purchases, small_purchases
from tastemaker.plugins import TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker_ranker.trees import Ensemble

CANDIDATES = (1, 100, 200, 500)
ROUNDS, CALLS = 60, 20
LOADED = """
import os, sys, time
import numpy, scipy.sparse

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

before, start = megabytes(), time.process_time()
__import__(sys.argv[1])
print(f"  {sys.argv[1]:12} {time.process_time() - start:5.2f} s of CPU, {megabytes() - before:4.0f} MB")
"""


def made(data: TrainingData, rounds: int) -> tuple[Ensemble, Float32]:
    """Fit the ranker, and return its trees and the columns of some users' candidates."""
    from tastemaker.plugins import Batch
    from tastemaker_ranker.ranker import Ranker

    model = Ranker().fit(data)
    assert model.ensemble is not None
    chosen = np.arange(0, data.n_users, max(data.n_users // 40, 1), dtype=np.int32)
    batch = Batch(chosen, data.history[chosen], np.zeros(len(chosen), np.uint64), now=data.end)
    _, features = model._describe(batch)
    whole = microseconds(lambda one: model.recommend(one, 10), batch[:1], rounds, 1)
    print(f"a whole request of the ranker, its retrievers and columns included: {whole:,.0f} us")
    return model.ensemble, features


def race(ensemble: Ensemble, features: Float32, rounds: int) -> None:
    """Print the microseconds of both on the same rows, and whether their scores are equal to the last bit."""
    import lightgbm

    booster = lightgbm.Booster(model_str=ensemble.text)

    def native(rows: Float32) -> Any:
        return booster.predict(rows, num_threads=1)

    print(f"{booster.num_trees()} trees, {features.shape[1]} columns, one thread")
    for n in CANDIDATES:
        rows = np.ascontiguousarray(features[:n])
        alike = np.array_equal(native(rows).astype(np.float32), ensemble.score(rows))
        slow, fast = microseconds(native, rows, rounds), microseconds(ensemble.score, rows, rounds)
        print(
            f"  {n:3} candidates  LightGBM {slow:5.0f} us  ONNX Runtime {fast:5.0f} us"
            f"  ratio {slow / fast:.1f}  the same scores: {alike}"
        )


def microseconds(score: Callable[[Any], object], rows: Any, rounds: int, calls: int = CALLS) -> float:
    """Return the microseconds per call in the fastest of many short rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            score(rows)
        best = min(best, time.perf_counter() - start)
    return best / calls * 1e6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shop", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(shop: Path | None, smoke: bool) -> None:
    """Time both on the candidates of SHOP, Online Retail's file; --smoke does without it."""
    if shop is None and not smoke:
        raise click.UsageError("which shop? name Online Retail's Parquet file, or give --smoke")
    data = small_purchases() if shop is None else purchases(shop)
    race(*made(data, 2 if smoke else 20), 2 if smoke else ROUNDS)
    print("what importing costs", flush=True)
    for library in ("lightgbm", "onnxruntime"):
        quiet = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
        subprocess.run([sys.executable, "-c", LOADED, library], env=quiet, check=True)


if __name__ == "__main__":
    main()
