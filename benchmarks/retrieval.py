"""How much faster an index finds a large catalogue's best items, and how many of them it misses.

    python benchmarks/retrieval.py                             # 100,000 items x 64, made up
    python benchmarks/retrieval.py --shop online_retail.parquet  # and the vectors of a real shop, fitted here

Other libraries are not dependencies of the project. They get their own environment, in which this script
runs again on the same vectors:

    uv venv /tmp/others && uv pip install --python /tmp/others/bin/python hnswlib faiss-cpu numpy click
    python benchmarks/retrieval.py --others /tmp/others/bin/python

Everything runs on one thread. Read the ratios: seconds are this machine's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tastemaker.plugins import TrainingData

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

N_ITEMS, SIZE, N_USERS, HISTORY = 100_000, 64, 300, 16
SMOKE_ITEMS, SMOKE_USERS = 5_000, 20
LENGTHS = (10, 50)
BATCHES = (1, 4, 16, 64)
Lists = list[list[int]]


def made_up(smoke: bool) -> tuple[Any, list[Any]]:
    """Return drawn item vectors and histories.

    The vectors lie in 200 clusters, and their lengths vary as popularity does. Each history has items of
    two clusters.
    """
    rng, n_items = np.random.default_rng(0), SMOKE_ITEMS if smoke else N_ITEMS
    fading = 0.93 ** np.arange(SIZE)
    cluster = rng.integers(0, 200, n_items)
    centres = rng.normal(size=(200, SIZE)) * fading
    vectors = (centres[cluster] + 0.7 * rng.normal(size=(n_items, SIZE)) * fading) / 8
    vectors *= rng.lognormal(0, 0.6, (n_items, 1))
    members = [np.flatnonzero(cluster == number) for number in range(200)]
    histories = [
        np.unique(np.concatenate([rng.choice(members[one], HISTORY // 2) for one in rng.integers(0, 200, 2)]))
        for _ in range(SMOKE_USERS if smoke else N_USERS)
    ]
    return vectors.astype(np.float32), histories


def model_of(vectors: Any) -> Any:
    """Return an iALS model that has these item vectors."""
    from tastemaker_collaborative.ials import IALS

    model = IALS()
    model.item_vectors = np.column_stack([vectors, np.zeros(len(vectors), np.float32)])
    model.gram = vectors.T @ vectors
    model.popularity = np.zeros(len(vectors), np.float32)
    return model


def request(histories: Sequence[Any], n_items: int, *, exclude: bool) -> Any:
    """Return one batch of a row per history, as a service makes it."""
    from scipy.sparse import csr_array

    from tastemaker.plugins import Batch, History

    rows, lengths, items = len(histories), [len(one) for one in histories], np.concatenate(histories)
    offsets, n = np.concatenate(([0], np.cumsum(lengths))), sum(lengths)
    ones = np.ones(n, np.float32)
    past = History(offsets, items.astype(np.int32), ones, np.ones(n, np.int32), np.zeros(n, int), n_items)
    had = csr_array((np.ones(n, np.bool_), items, offsets), shape=(rows, n_items)) if exclude else None
    return Batch(np.full(rows, -1, np.int32), past, np.zeros(rows, np.uint64), now=1, excluded=had)


def requests(histories: Sequence[Any], n_items: int, *, exclude: bool) -> list[Any]:
    """Return one batch per user."""
    return [request([items], n_items, exclude=exclude) for items in histories]


def first_row(answers: Any, k: int) -> Callable[[Any], Any]:
    """Return a function that asks for the k best items of a batch of one row."""
    return lambda batch: answers.recommend(batch, k).items[0]


def timed(recommend: Callable[[Any], Any], batches: Sequence[Any]) -> tuple[Lists, float]:
    """Return the lists, and the median of the microseconds that a request takes at its fastest of 3."""
    lists, seconds = [], []
    for batch in batches:
        took = []
        for _ in range(3):
            start = time.perf_counter()
            found = recommend(batch)
            took.append(time.perf_counter() - start)
        lists.append([int(item) for item in found])
        seconds.append(min(took))
    return lists, float(np.median(seconds)) * 1e6


def recall(found: Lists, exact: Lists, k: int) -> float:
    """Return the share of the true k best items that is among the k found."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(set(one[:k]) & set(other[:k])) / k for one, other in pairs]))


def compare(name: str, model: Any, histories: Sequence[Any]) -> None:
    """Print recall and ratio of the index beside the model that scores everything."""
    from tastemaker.serving.ranking.ann_index import FILE_NAME, NEVER, Nearest, build

    n_items = len(model.item_vectors)
    with tempfile.TemporaryDirectory() as folder:
        asked, others = histories[::2], histories[1::2]
        known = np.concatenate([model.embed(one) for one in requests(others, n_items, exclude=False)])
        start = time.perf_counter()
        build(Path(folder), model.item_vectors, known, None)
        built, megabytes = time.perf_counter() - start, (Path(folder) / FILE_NAME).stat().st_size / 1e6
        near = Nearest(model, Path(folder), exact_from=NEVER)
        print(f"{name}: {n_items:,} items x {SIZE}; index built in {built:.1f} s, {megabytes:.0f} MB")
        for exclude in (False, True):
            batches = requests(asked, n_items, exclude=exclude)
            for k in LENGTHS:
                exact, slow = timed(first_row(model, k), batches)
                found, fast = timed(first_row(near, k), batches)
                what = "what was had excluded" if exclude else ""
                print(
                    f"  k {k:2}  {what:22} recall {recall(found, exact, k):.4f}   exact {slow:6,.0f} us"
                    f"   index {fast:6,.0f} us   ratio {slow / fast:.1f}"
                )
        by_batch(model, near, Nearest(model, Path(folder)), histories)


def by_batch(model: Any, near: Any, served: Any, histories: Sequence[Any]) -> None:
    """Print the time per row of exact scoring, of the index, and of what a service uses, by batch size."""
    print(f"  a service scores batches exactly from {served.exact_from:,} rows on, as it measured")
    for rows in BATCHES:
        some = [[histories[(n * rows + row) % len(histories)] for row in range(rows)] for n in range(5)]
        batches = [request(each, len(model.item_vectors), exclude=True) for each in some]
        took = {who: [] for who in (model, near, served)}  # type: dict[Any, list[float]]
        for batch in batches * 3:
            for who, seconds in took.items():
                start = time.perf_counter()
                who.recommend(batch, LENGTHS[0])
                seconds.append(time.perf_counter() - start)
        exact, index, used = (float(np.median(seconds)) / rows * 1e6 for seconds in took.values())
        print(
            f"  batch of {rows:2}: exact {exact:6,.0f} us per row   index {index:6,.0f} us   "
            f"served {used:6,.0f} us   exact / index {exact / index:.2f}"
        )


def fitted(data: TrainingData) -> tuple[Any, list[Any]]:
    """Return iALS fitted on a shop, and the histories of some of its customers."""
    from tastemaker_collaborative.ials import IALS

    model = IALS().fit(data)
    chosen = np.random.default_rng(1).choice(data.n_users, min(N_USERS, data.n_users), replace=False)
    bounds = data.history.offsets
    return model, [data.history.items[bounds[user] : bounds[user + 1]] for user in chosen]


def others(smoke: bool) -> None:
    """Measure the HNSW of other libraries on the same vectors and queries, where they are installed."""
    import faiss
    import hnswlib

    vectors, histories = made_up(smoke)
    queries = np.stack([vectors[items].mean(axis=0) for items in histories])
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, : max(LENGTHS)].tolist()
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexHNSWFlat(SIZE, 32, faiss.METRIC_INNER_PRODUCT)
    flat.hnsw.efConstruction = flat.hnsw.efSearch = 128
    graph = hnswlib.Index("ip", SIZE)
    graph.init_index(len(vectors), M=32, ef_construction=128, random_seed=1)
    graph.set_ef(128)
    graph.set_num_threads(1)
    searches: dict[str, tuple[Callable[[], object], Callable[[Any], Any]]] = {
        "hnswlib": (lambda: graph.add_items(vectors), lambda q: graph.knn_query(q, 50)[0][0]),
        "faiss": (lambda: flat.add(vectors), lambda q: flat.search(q[None], 50)[1][0]),
    }
    _print_searches(searches, queries, exact)


def ours_bare(smoke: bool) -> None:
    """Measure USearch alone on the queries of `others`, without the model around it."""
    from usearch.index import Index

    vectors, histories = made_up(smoke)
    queries = np.stack([vectors[items].mean(axis=0) for items in histories])
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, : max(LENGTHS)].tolist()
    index = Index(
        ndim=SIZE, metric="ip", dtype="f16", connectivity=32, expansion_add=128, expansion_search=128
    )

    def add() -> None:
        index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=1)

    _print_searches({"usearch": (add, lambda q: index.search(q, 50, threads=1).keys)}, queries, exact)


def _print_searches(searches: dict[str, Any], queries: Any, exact: Lists) -> None:
    for name, (build, search) in searches.items():
        start = time.perf_counter()
        build()
        built = time.perf_counter() - start
        found, microseconds = timed(search, list(queries))
        shares = ", ".join(f"recall@{k} {recall(found, exact, k):.4f}" for k in LENGTHS)
        print(
            f"  {name:8} built in {built:5.1f} s, 50 neighbours in {microseconds:5.0f} us, {shares}",
            flush=True,
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--shop", type=click.Path(exists=True, path_type=Path), help="Online Retail's file; repeats it there."
)
@click.option("--others", "python", type=click.Path(exists=True), help="A Python that has hnswlib and faiss.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--only-others", is_flag=True, hidden=True, help="Measure the other libraries in this process.")
def main(shop: Path | None, python: str | None, smoke: bool, only_others: bool) -> None:
    """Recall and time of a large catalogue's index, beside scoring every item."""
    if only_others:
        others(smoke)
        return
    from support.online_retail import purchases, small_purchases

    vectors, histories = made_up(smoke)
    compare("made up", model_of(vectors), histories)
    if shop is not None:
        compare("a real shop", *fitted(purchases(shop)))
    elif smoke:
        compare("a small simulated shop", *fitted(small_purchases()))
    print("libraries side by side, queries that are means of histories:", flush=True)
    ours_bare(smoke)
    if python is None:
        print("  without hnswlib and faiss; --others names the Python of an environment that has them")
        return
    subprocess.run([python, __file__, "--only-others", *["--smoke"] * smoke], check=True)


if __name__ == "__main__":
    main()
