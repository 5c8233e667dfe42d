"""What a request costs more since empty lists, items by source, feature values and batches are counted.

One process answers with a matrix factorization that reads user features, without HTTP: its share would only
be smaller. The batches that come up are kept, and then counted again and again, with all counters and with
the lists by stage and reason alone. The fastest of many repetitions is what the work itself takes; the
difference of two whole runs would be lost in what the machine does besides.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import click

sys.path.insert(0, str(Path(__file__).parent))

from serving_shop import N_USERS, fill_features, install_plugin, make_home, user_id

from tastemaker.api.schemas import Request
from tastemaker.plugins.arrays import Float32
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceResult
from tastemaker.serving.runtime import answer_log
from tastemaker.serving.runtime.assembly import WorkerPlace, assemble_single
from tastemaker.serving.runtime.engine_metrics import EngineMetrics
from tastemaker.serving.runtime.worker import Worker
from tastemaker.settings import Settings

N_ITEMS, K = 4_000, 10
CALLERS = (1, 8, 26)
MOST_PERCENT = 2.0
Batch = Sequence[tuple[PendingRequest, InferenceResult]]


class Figures(NamedTuple):
    """Microseconds of processor time per request."""

    request: float
    """All of it, with everything counted."""
    lists: float
    """Counting lists by stage and reason alone."""
    everything: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--requests", "n", default=4_000, show_default=True, help="In a round.")
@click.option("--rounds", default=10, show_default=True, help="Of requests, and of counting.")
def main(smoke: bool, n: int, rounds: int) -> None:
    """Compare the processor time of counting, per request, with that of the request."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-counting-") as folder:
        worker = _worker(Path(folder))
        try:
            n, rounds = (200, 2) if smoke else (n, rounds)
            click.echo("requests  processor time, us   of it counting: lists  everything   more")
            for callers in CALLERS:
                found = measure(worker, n, rounds, callers)
                added = found.everything - found.lists
                more = 100 * added / (found.request - added)
                shown = (
                    f"{found.request:>16.1f} {found.lists:>24.2f} {found.everything:>11.2f} {more:>6.2f} %"
                )
                click.echo(f"at once {callers:>2} {shown}")
                if not smoke and more > MOST_PERCENT:
                    raise click.ClickException(f"more than {MOST_PERCENT:g} %")
        finally:
            worker.close()


def measure(worker: Worker, n: int, rounds: int, callers: int) -> Figures:
    """Return the processor time of a request, and of counting it in both ways.

    Args:
        worker: Answers.
        n: Requests in a round.
        rounds: The fastest of so many counts.
        callers: Each asks again as soon as it was answered.
    """
    batches: list[Batch] = []
    rows: list[Float32] = []
    (engine,) = worker.router.engines
    assert engine.loader is not None
    assert engine.metrics is not None
    metrics = engine.metrics
    (features,) = engine.loader._features.values()
    count_all, count_values = answer_log._count, features._count_values

    def keep_batch(metrics: EngineMetrics, answers: Batch) -> None:
        batches.append(answers)
        count_all(metrics, answers)

    def keep_rows(values: Float32) -> None:
        rows.append(values)
        count_values(values)

    numbers = count()
    seconds = []
    for number in range(rounds):
        keeps = number == 0
        with (
            patch.object(answer_log, "_count", keep_batch if keeps else count_all),
            patch.object(features, "_count_values", keep_rows if keeps else count_values),
        ):
            start = time.process_time()
            asyncio.run(_answer(worker, n, callers, numbers))
            seconds.append(time.process_time() - start)

    def everything() -> None:
        for batch in batches:
            engine.batcher.on_batch(0.001)
            count_all(metrics, batch)
        for values in rows:
            count_values(values)
        worker.metrics.count_rest()

    def lists() -> None:
        for batch in batches:
            metrics.answered(
                Counter((r.answer.model, r.answer.stage, r.answer.fallback) for _, r in batch), {}, {}
            )

    answered = sum(map(len, batches))
    return Figures(*(least / answered * 1e6 for least in (
        min(seconds[1:]), _fastest(lists, rounds), _fastest(everything, rounds),
    )))  # fmt: skip


def _fastest(work: Callable[[], None], rounds: int) -> float:
    """Return the least processor time of the work, in seconds."""
    took = []
    for _ in range(10 * rounds):
        start = time.thread_time()
        work()
        took.append(time.thread_time() - start)
    return min(took)


async def _answer(worker: Worker, n: int, callers: int, numbers: Iterator[int]) -> None:
    async def ask() -> None:
        for _ in range(n // callers):
            answer = await worker.recommend(Request(user_id(next(numbers) % N_USERS), K))
            assert len(answer.items) == K

    await asyncio.gather(*(ask() for _ in range(callers)))


def _worker(folder: Path) -> Worker:
    """Return a worker that shares its counters with others, as under a server."""
    install_plugin(folder / "site")
    home, shared = folder / "home", folder / "shared"
    make_home(home, N_ITEMS, index=False)
    fill_features(home)
    shared.mkdir()
    return assemble_single(
        Settings(home=home), "factors", None, WorkerPlace(shared), SERVICE_ROUTES.statuses(), {}
    )


if __name__ == "__main__":
    main()
