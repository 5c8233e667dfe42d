"""How long a decision and an update take: our bandits, and MABWiser's on the same work, on one thread.

MABWiser is not a dependency of the project. It gets its own environment, in which this script runs again:

    uv venv /tmp/mabwiser && uv pip install --python /tmp/mabwiser/bin/python mabwiser click
    python benchmarks/bandits.py --mabwiser /tmp/mabwiser/bin/python
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

CONTEXT_SIZE, CALLS = 20, 20


class Size(NamedTuple):
    """How much is measured."""

    arms: int = 1000
    feedback_rows: int = 20_000
    many_arms: int = 4000
    many_feedback_rows: int = 80_000
    rounds: int = 200
    passes: int = 3
    """Over everything: a machine that others share is slow for seconds at a time, and then not."""


FULL, SMOKE = (
    Size(),
    Size(arms=50, feedback_rows=500, many_arms=100, many_feedback_rows=1_000, rounds=2, passes=1),
)
LIMITS = (
    {("lin_ucb", "decide 1"): 100, ("lin_ucb", "update"): 20}
    | {(name, "decide 1"): 60 for name in ("thompson", "lin_thompson")}
    | {(name, "recommend 10"): 500 for name in ("lin_thompson", "logistic_thompson")}
)
"""Microseconds that we promise."""


class Work(NamedTuple):
    """The feedback and the requests of every policy: the same for ours and theirs."""

    items: Any
    rewards: Any
    contexts: Any


def work(n: int, seed: int, arms: int) -> Work:
    """Draw n shown items with contexts from a standard normal distribution; one in ten is clicked."""
    rng = np.random.default_rng(seed)
    rewards = (rng.random(n) < 0.1).astype(np.float32)
    return Work(rng.integers(0, arms, n).astype(np.int32), rewards, rng.normal(size=(n, CONTEXT_SIZE)))


def microseconds(call: Callable[[int], object], rounds: int, calls: int = CALLS) -> float:
    """Return the microseconds per call in the fastest of many short rounds.

    Other programs slow some rounds down, and no round is faster than the machine.
    """
    best = float("inf")
    for round_number in range(rounds):
        start = time.perf_counter()
        for i in range(calls):
            call((round_number * calls + i) % 1000)
        best = min(best, time.perf_counter() - start)
    return best / calls * 1e6


def ours(size: Size) -> dict[str, dict[str, float]]:
    """Return microseconds by policy and operation."""
    from tastemaker.plugins import Batch, Events, Feedback, History, TrainingData
    from tastemaker.plugins.discovery import get

    none = np.empty(0, np.int32)
    events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
    data, much = (
        TrainingData(events, n_users=0, n_items=arms, end=0) for arms in (size.arms, size.many_arms)
    )

    def feedback(done: Work) -> Feedback:
        n = len(done.items)
        zeros, ones = np.zeros(n, np.int32), np.ones(n, np.float32)
        context = done.contexts.astype(np.float32)
        return Feedback(zeros, done.items, zeros, done.rewards, ones, zeros.astype(np.int64), context)

    def request(i: int, arms: int) -> Batch:
        seed, context = np.array([i], np.uint64), questions.contexts[i : i + 1].astype(np.float32)
        return Batch(np.full(1, -1, np.int32), History.empty(1, arms), seed, now=0, context=context)

    few = min(size.rounds, 10)
    questions = work(1000, 1, size.arms)
    requests, of_many = ([request(i, arms) for i in range(1000)] for arms in (size.arms, size.many_arms))
    updates = [feedback(questions)[i : i + 1] for i in range(1000)]
    figures = {}
    for name in ("epsilon_greedy", "ucb1", "thompson", "lin_ucb", "lin_thompson", "logistic_thompson"):
        kind = get(name).recommender
        options = (
            {"context_size": CONTEXT_SIZE, "intercept": False} if "context_size" in _fields(kind) else {}
        )
        model = (
            kind(kind.config_type(**options))
            .fit(data)
            .update(feedback(work(size.feedback_rows, 0, size.arms)))
        )
        figures[name] = {
            **{
                f"decide {k}": microseconds(partial(_answer, model.top_k, requests, k), size.rounds)
                for k in (1, 10)
            },
            **{
                f"recommend {k}": microseconds(partial(_answer, model.recommend, requests, k), few, 5)
                for k in (1, 10)
            },
            "update": microseconds(partial(_update, model, updates), size.rounds),
            "update of 1,000": microseconds(partial(_update, model, [feedback(questions)] * 1000), few, 1)
            / 1000,
        }
        if model.capabilities.stochastic:
            many = kind(kind.config_type(**options)).fit(much)
            many.update(feedback(work(size.many_feedback_rows, 0, size.many_arms)))
            figures[name] |= {
                "decide 10*": microseconds(partial(_answer, many.top_k, of_many, 10), 2 * few),
                "recommend 10*": microseconds(partial(_answer, many.recommend, of_many, 10), few, 5),
                "update, then*": microseconds(partial(_update_and_recommend, many, updates, of_many), few, 2),
            }
    return figures


def _answer(operation: Callable[[Any, int], object], requests: list[Any], k: int, i: int) -> None:
    operation(requests[i], k)


def _update(model: Any, updates: list[Any], i: int) -> None:
    model.update(updates[i])


def _update_and_recommend(model: Any, updates: list[Any], requests: list[Any], i: int) -> None:
    model.update(updates[i]).recommend(requests[i], 10)


def theirs(size: Size) -> dict[str, dict[str, float]]:
    """Measure MABWiser's policies of the same kind."""
    from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-not-found, unused-ignore]

    policies = {
        "epsilon_greedy": LearningPolicy.EpsilonGreedy(0.1),
        "ucb1": LearningPolicy.UCB1(),
        "thompson": LearningPolicy.ThompsonSampling(),
        "lin_ucb": LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0),
        "lin_thompson": LearningPolicy.LinTS(alpha=1.0, l2_lambda=1.0),
    }
    few = min(size.rounds, 10)
    feedback, questions = work(size.feedback_rows, 0, size.arms), work(1000, 1, size.arms)
    figures = {}
    for name, policy in policies.items():
        contextual = name.startswith("lin")
        mab = MAB(list(range(size.arms)), policy, n_jobs=1)
        mab.fit(feedback.items, feedback.rewards, feedback.contexts if contextual else None)

        def ask(i: int, mab: Any = mab, contextual: bool = contextual) -> object:
            return mab.predict(questions.contexts[i : i + 1] if contextual else None)

        def update(rows: slice, mab: Any = mab, contextual: bool = contextual) -> None:
            contexts = questions.contexts[rows] if contextual else None
            mab.partial_fit(questions.items[rows], questions.rewards[rows], contexts)

        figures[name] = {
            "decide 1": microseconds(ask, few, 5),
            "update": microseconds(lambda i, update=update: update(slice(i, i + 1)), few, 5),  # type: ignore[misc]
            "update of 1,000": microseconds(lambda i, update=update: update(slice(None)), few, 1) / 1000,  # type: ignore[misc]
        }
    return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--mabwiser", type=click.Path(exists=True), help="The Python of an environment that has MABWiser."
)
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--theirs", "only_theirs", is_flag=True, hidden=True, help="Measure MABWiser in this process.")
def main(mabwiser: str | None, smoke: bool, only_theirs: bool) -> None:
    """Print a table: microseconds, MABWiser's, the ratio, and the limit where we promise one."""
    size = SMOKE if smoke else FULL
    if only_theirs:
        print(json.dumps(theirs(size)))
        return
    other: dict[str, dict[str, float]] = {}
    if mabwiser is None:
        print("Without MABWiser; --mabwiser names the Python of an environment that has it.")
    else:
        command = [mabwiser, __file__, "--theirs", *["--smoke"] * smoke]
        runs = (
            subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(size.passes)
        )
        other = fastest(json.loads(run.stdout) for run in runs)
    print(f"{_processor()}, one thread; fastest round, µs")
    print(f"{size.arms:,} arms, {CONTEXT_SIZE} context dimensions")
    print("decide: without propensities, as MABWiser; recommend: with them; 1 and 10: the length of the list")
    print(f"*: of {size.many_arms:,} arms")
    print("update, then: an update, and the first list with propensities after it")
    print(f"{'policy':<18} {'':<15} {'ours':>9} {'MABWiser':>9} {'ratio':>7} {'limit':>6}")
    for row in _table(fastest(ours(size) for _ in range(size.passes)), other):
        print(row)


def fastest(passes: Iterator[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the smallest of each figure over all passes."""
    all_of_them = list(passes)
    return {
        name: {operation: min(one[name][operation] for one in all_of_them) for operation in operations}
        for name, operations in all_of_them[0].items()
    }


def _table(mine: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> Iterator[str]:
    for name, operations in mine.items():
        for operation, taken in operations.items():
            rival = other.get(name, {}).get(operation)
            compared = f"{rival:9.1f} {rival / taken:6.0f}x" if rival else f"{'':>9} {'':>7}"
            limit = LIMITS.get((name, operation))
            kept = "" if limit is None else f"{limit:6} {'kept' if taken <= limit else 'MISSED'}"
            yield f"{name:<18} {operation:<15} {taken:9.1f} {compared} {kept}".rstrip()


def _fields(kind: Any) -> dict[str, Any]:
    fields: dict[str, Any] = kind.config_type.model_fields
    return fields


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
