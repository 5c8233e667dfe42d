"""Seconds to evaluate a matrix factorization: ours, implicit's and the bare matrix product, side by side.

All see the same factors, the same purchases and the same test period, and take turns: the speed of a shared
machine drifts, and on a busy one only ratios mean anything. Beside it, the memory for a larger shop.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Self

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tastemaker.dataset.split import Split
from tastemaker.evaluation.evaluator import UserMetrics, block_users, evaluate
from tastemaker.plugins import Batch, Config, Events, Ranking, Recommender, TrainingData, select_rows
from tastemaker.plugins.arrays import Float32
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot

K = 10
METRICS = ("recall", "ndcg", "map")
EMBEDDING_SIZE = 64
TEST_SHARE = 0.2
PRODUCT_ROWS = 800
"""As many rows of the bare product as keep it from being slowed by memory."""

REST_SECONDS = 0.2
"""Between two turns: OpenBLAS's threads keep a processor busy for a while after their last product."""


class Size(NamedTuple):
    """A shop."""

    users: int
    items: int
    interactions: int


COMPARED = Size(20_000, 5_000, 1_000_000)
SHOWN = Size(200_000, 50_000, 4_000_000)
PLANNED = Size(1_000_000, 100_000, 20_000_000)
SMOKE = Size(500, 200, 10_000)


class FactorsConfig(Config):
    """Nothing to choose."""


class Factors(Recommender[FactorsConfig]):
    """Random vectors: scoring costs what it costs a fitted model."""

    name = "factors"
    reference = "none"
    config_type = FactorsConfig
    state = ("user_vectors", "item_vectors")

    def fit(self, data: TrainingData) -> Self:
        self.user_vectors = _vectors(data.rng, data.n_users)
        self.item_vectors = _vectors(data.rng, data.n_items)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        vectors = self.user_vectors[batch.users]
        return select_rows(lambda rows: vectors[rows] @ self.item_vectors.T, batch, k)


def _vectors(rng: np.random.Generator, n: int) -> Float32:
    return rng.standard_normal((n, EMBEDDING_SIZE), np.float32)


def shop(size: Size) -> Split:
    """Draw purchases of items whose popularity falls with their rank; a fifth of the pairs is for tests."""
    rng = np.random.default_rng(0)
    popularity = (np.arange(size.items) + 10.0) ** -0.7
    drawn = size.interactions * 5 // 4
    pairs = rng.integers(0, size.users, drawn) * size.items
    pairs += rng.choice(size.items, drawn, p=popularity / popularity.sum())
    pairs = np.sort(rng.permutation(np.unique(pairs))[: size.interactions])
    later = rng.random(len(pairs)) < TEST_SHARE
    users, items = np.divmod(pairs[~later], size.items)
    events = Events(
        users.astype(np.int32), items.astype(np.int32), np.ones(len(users), np.float32), np.arange(len(users))
    )
    train = TrainingData(events, size.users, size.items, len(users), repeats=False, rng=rng)
    relevant = _matrix(pairs[later], size)
    evaluated = np.flatnonzero(np.diff(relevant.indptr))
    user_ids = [f"user-{user:07}" for user in range(size.users)]
    snapshot = Snapshot(
        user_ids=IdIndex.build(user_ids),
        item_ids=IdIndex.build(f"item-{item:07}" for item in range(size.items)),
        history=train.history,
        end=train.end,
        repeats=False,
        available=None,
        popular=np.arange(size.items, dtype=np.int32),
        item_features=None,
        data_hash="",
    )
    return Split(
        train=train,
        snapshot=snapshot,
        users=evaluated.astype(np.int32),
        user_ids=[user_ids[user] for user in evaluated],
        relevant=relevant[evaluated],
        unreachable=0,
        unevaluated=0,
        start=0,
        cut=train.end,
        end=train.end + 1,
        data_hash="",
    )


def _matrix(pairs: NDArray[np.int64], size: Size) -> csr_array:
    users, items = np.divmod(pairs, size.items)
    return csr_array((np.ones(len(pairs), np.float32), (users, items)), shape=(size.users, size.items))


class Timed(NamedTuple):
    """The median over the rounds."""

    seconds: float
    cpu_seconds: float


def contenders(split: Split, model: Factors) -> dict[str, Callable[[], object]]:
    """Return a function per contender that does the same work.

    The bare product is run with one thread of BLAS, and with as many as BLAS chooses. Its loop is what people
    write: each result is kept until the next is there, so the system clears new pages for it. The product to
    one array does without them, as ours does.
    """

    def product(threads: int | None) -> None:
        with threadpool_limits(threads, "blas"):
            for start in range(0, split.train.n_users, PRODUCT_ROWS):
                _ = model.user_vectors[start : start + PRODUCT_ROWS] @ model.item_vectors.T

    def product_to_one_array() -> None:
        scores = np.empty((PRODUCT_ROWS, split.train.n_items), np.float32)
        for start in range(0, split.train.n_users, PRODUCT_ROWS):
            users = model.user_vectors[start : start + PRODUCT_ROWS]
            np.matmul(users, model.item_vectors.T, out=scores[: len(users)])

    return {
        "bare product, 1 thread": lambda: product(1),
        "bare product": lambda: product(None),
        "bare product, one array": product_to_one_array,
        "ours": lambda: evaluate(model, split, K, metrics=METRICS),
        "ours, all metrics": lambda: evaluate(model, split, K),
        **_implicit(split, model),
    }


def _implicit(split: Split, model: Factors) -> dict[str, Callable[[], object]]:
    """Return the contenders of implicit, with one thread and with all; none where it is not installed."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.evaluation import ranking_metrics_at_k
    except ImportError:
        click.echo("implicit is not installed: without it", err=True)
        return {}

    with threadpool_limits(1, "blas"):  # it warns otherwise
        theirs = AlternatingLeastSquares(factors=EMBEDDING_SIZE)
    theirs.user_factors, theirs.item_factors = model.user_vectors, model.item_vectors
    seen = for_implicit(split.train.history.matrix())
    relevant = csr_array(split.relevant)
    rows = np.zeros(split.train.n_users + 1, np.int64)
    rows[split.users + 1] = np.diff(relevant.indptr)
    all_users = csr_array(
        (relevant.data, relevant.indices, np.cumsum(rows)), shape=(split.train.n_users, split.train.n_items)
    )
    tested = for_implicit(all_users)

    def implicit(threads: int) -> dict[str, float]:
        with threadpool_limits(1, "blas"):  # as implicit advises
            found: dict[str, float] = ranking_metrics_at_k(
                theirs, seen, tested, K=K, show_progress=False, num_threads=threads
            )
        return found

    return {
        "implicit, 1 thread": lambda: implicit(1),
        "implicit": lambda: implicit(0),
    }


def for_implicit(matrix: csr_array) -> csr_matrix:
    """Convert a matrix to the older class with 32-bit indices, which implicit requires."""
    return csr_matrix(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timed]:
    """Time every contender once per round, after one round that is not counted."""
    spent = np.empty((rounds + 1, len(contenders), 2))
    for of_round in spent:
        for of_one, run in zip(of_round, contenders.values(), strict=True):
            time.sleep(REST_SECONDS)
            clock, cpu = time.perf_counter(), time.process_time()
            run()
            of_one[:] = time.perf_counter() - clock, time.process_time() - cpu
    medians = np.median(spent[1:], axis=0)
    return {name: Timed(*median) for name, median in zip(contenders, medians.tolist(), strict=True)}


def differences(split: Split, run: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return our figure minus implicit's, by metric.

    Implicit's `precision` is our recall pooled over users, so ours is pooled here too.
    """
    ours, theirs = run["ours"](), run["implicit"]()
    assert isinstance(ours, UserMetrics)
    assert isinstance(theirs, dict)
    reachable = np.minimum(np.diff(split.relevant.indptr), K)
    return {
        "recall": float(ours.values["recall"] @ reachable / reachable.sum() - theirs["precision"]),
        "ndcg": float(ours.values["ndcg"].mean() - theirs["ndcg"]),
        "map": float(ours.values["map"].mean() - theirs["map"]),
    }


class Memory(NamedTuple):
    """The cost of evaluating a larger shop."""

    seconds: float
    data_mb: float
    """Peak before evaluating: the shop, its history and the factors."""
    peak_mb: float
    """Peak of the whole process."""


def memory(size: Size) -> Memory:
    """Evaluate the larger shop in this process."""
    split = shop(size)
    model = Factors().fit(split.train)
    before = _peak_mb()
    started = time.perf_counter()
    evaluate(model, split, K, metrics=METRICS)
    return Memory(time.perf_counter() - started, before, _peak_mb())


def _peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def memory_of_its_own(smoke: bool) -> Memory:
    """Evaluate the larger shop in a new process, so that the peak of memory is its own."""
    command = [sys.executable, __file__, "--only-memory", "--json", *["--smoke"] * smoke]
    return Memory(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def plan(size: Size) -> str:
    """Return in words what bounds the memory of evaluating a shop."""
    users = block_users(size.items)
    scores, everything = (n * size.items * 4 for n in (users, size.users))
    results = size.users * (len(METRICS) + 1) * 8 + size.items * 16
    return (
        f"{size.users:,} users x {size.items:,} items, planned: {-(-size.users // users):,} blocks of "
        f"{users:,} users; at most {scores / 1e6:,.0f} MB of scores (of all, {everything / 1e9:,.0f} GB), "
        f"{results / 1e6:,.0f} MB of results"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="Turns of each.")
@click.option("--memory/--no-memory", "with_memory", default=True, help="Evaluate the larger shop too.")
@click.option("--only-memory", is_flag=True, help="Evaluate only the larger shop, in this process.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(rounds: int, with_memory: bool, only_memory: bool, smoke: bool, as_json: bool) -> None:
    """Recall, NDCG and MAP at 10 for 20,000 users x 5,000 items x 1 million purchases, seen items left out.

    \b
    Examples:
      python benchmarks/evaluation.py
      python benchmarks/evaluation.py --rounds 3 --no-memory
    """
    compared, shown = (SMOKE, SMOKE) if smoke else (COMPARED, SHOWN)
    if only_memory:
        measured = memory(shown)
        click.echo(json.dumps(measured._asdict()) if as_json else _in_words(measured, shown))
        return
    split = shop(compared)
    run = contenders(split, Factors().fit(split.train))
    found = in_turns(run, 1 if smoke else rounds)
    differs = differences(split, run) if "implicit" in run else {}
    larger = memory_of_its_own(smoke) if with_memory else None
    if as_json:
        timed = {name: one._asdict() for name, one in found.items()}
        taken = larger and larger._asdict()
        click.echo(json.dumps({"timed": timed, "differences": differs, "memory": taken}))
        return
    for line in _table(found):
        click.echo(line)
    if differs:
        click.echo("ours - implicit: " + ", ".join(f"{name} {value:+.1e}" for name, value in differs.items()))
    if larger:
        click.echo(_in_words(larger, shown))
    click.echo(plan(PLANNED))


def _table(found: dict[str, Timed]) -> list[str]:
    ours, columns = found["ours"], "{:<24} {:>9} {:>9} {:>12} {:>12}"
    return [
        columns.format("", "seconds", "CPU s", "x ours", "x ours, CPU"),
        *(
            columns.format(
                name,
                f"{one.seconds:.3f}",
                f"{one.cpu_seconds:.3f}",
                f"{one.seconds / ours.seconds:.2f}",
                f"{one.cpu_seconds / ours.cpu_seconds:.2f}",
            )
            for name, one in found.items()
        ),
    ]


def _in_words(measured: Memory, size: Size) -> str:
    return (
        f"{size.users:,} users x {size.items:,} items: {measured.seconds:,.1f} s, "
        f"peak {measured.peak_mb:,.0f} MB, of which {measured.data_mb:,.0f} MB before evaluating"
    )


if __name__ == "__main__":
    main()
