"""How long a decision and an update take: our bandits, and MABWiser's on the same work, on one thread.

MABWiser is no dependency of the project. It gets an environment of its own, in which this script runs again:

    uv venv /tmp/mabwiser && uv pip install --python /tmp/mabwiser/bin/python mabwiser
    python benchmarks/bandits.py --mabwiser /tmp/mabwiser/bin/python
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

ARMS, CONTEXT_SIZE, TAUGHT, ROUNDS, CALLS = 1000, 20, 20_000, 200, 20
MANY_ARMS, MANY_TAUGHT = 4000, 80_000
PASSES = 3
"""Over everything: a machine that others share is slow for seconds at a time, and then not."""
LIMITS = {("lin_ucb", "decide 1"): 100, ("lin_ucb", "update"): 20} | {
    (name, "decide 1"): 60 for name in ("thompson", "lin_thompson")
}
"""Microseconds that we promise."""


class Work(NamedTuple):
    """What every policy is taught and asked: the same numbers for ours and theirs."""

    items: Any
    rewards: Any
    contexts: Any


def work(n: int, seed: int, arms: int = ARMS) -> Work:
    """n shown items with contexts from a standard normal; one in ten pleases."""
    rng = np.random.default_rng(seed)
    rewards = (rng.random(n) < 0.1).astype(np.float32)
    return Work(rng.integers(0, arms, n).astype(np.int32), rewards, rng.normal(size=(n, CONTEXT_SIZE)))


def microseconds(call: Callable[[int], object], rounds: int = ROUNDS, calls: int = CALLS) -> float:
    """The fastest of many short rounds: other programs slow some of them, none is faster than the machine."""
    best = float("inf")
    for round_number in range(rounds):
        start = time.perf_counter()
        for i in range(calls):
            call((round_number * calls + i) % 1000)
        best = min(best, time.perf_counter() - start)
    return best / calls * 1e6


def ours() -> dict[str, dict[str, float]]:
    """Microseconds by policy and deed."""
    from tastemaker.plugins import Batch, Events, Feedback, History, TrainingData
    from tastemaker.plugins.finder import get

    none = np.empty(0, np.int32)
    events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
    data, much = (TrainingData(events, n_users=0, n_items=arms, end=0) for arms in (ARMS, MANY_ARMS))

    def feedback(done: Work) -> Feedback:
        n = len(done.items)
        zeros, ones = np.zeros(n, np.int32), np.ones(n, np.float32)
        context = done.contexts.astype(np.float32)
        return Feedback(zeros, done.items, zeros, done.rewards, ones, zeros.astype(np.int64), context)

    def request(i: int, arms: int = ARMS) -> Batch:
        seed, context = np.array([i], np.uint64), questions.contexts[i : i + 1].astype(np.float32)
        return Batch(np.full(1, -1, np.int32), History.empty(1, arms), seed, now=0, context=context)

    questions = work(1000, seed=1)
    requests, of_many = ([request(i, arms) for i in range(1000)] for arms in (ARMS, MANY_ARMS))
    lessons = [feedback(questions)[i : i + 1] for i in range(1000)]
    figures = {}
    for name in ("epsilon_greedy", "ucb1", "thompson", "lin_ucb", "lin_thompson", "logistic_thompson"):
        kind = get(name).recommender
        looks = {"context_size": CONTEXT_SIZE, "intercept": False} if "context_size" in _fields(kind) else {}
        model = kind(kind.config_type(**looks)).fit(data).update(feedback(work(TAUGHT, seed=0)))
        figures[name] = {
            **{f"decide {k}": microseconds(partial(_answer, model.decide, requests, k)) for k in (1, 10)},
            **{
                f"recommend {k}": microseconds(partial(_answer, model.recommend, requests, k), 10, 5)
                for k in (1, 10)
            },
            "update": microseconds(partial(_teach, model, lessons)),
            "update of 1,000": microseconds(partial(_teach, model, [feedback(questions)] * 1000), 5, 1)
            / 1000,
        }
        if model.capabilities.stochastic:
            many = kind(kind.config_type(**looks)).fit(much)
            many.update(feedback(work(MANY_TAUGHT, seed=0, arms=MANY_ARMS)))
            figures[name] |= {
                "decide 10*": microseconds(partial(_answer, many.decide, of_many, 10), 20),
                "recommend 10*": microseconds(partial(_answer, many.recommend, of_many, 10), 10, 5),
                "taught, then*": microseconds(partial(_taught, many, lessons, of_many), 5, 2),
            }
    return figures


def _answer(deed: Callable[[Any, int], object], requests: list[Any], k: int, i: int) -> None:
    deed(requests[i], k)


def _teach(model: Any, lessons: list[Any], i: int) -> None:
    model.update(lessons[i])


def _taught(model: Any, lessons: list[Any], requests: list[Any], i: int) -> None:
    model.update(lessons[i]).recommend(requests[i], 10)


def theirs() -> dict[str, dict[str, float]]:
    """MABWiser's policies of the same kind."""
    from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-not-found, unused-ignore]

    policies = {
        "epsilon_greedy": LearningPolicy.EpsilonGreedy(0.1),
        "ucb1": LearningPolicy.UCB1(),
        "thompson": LearningPolicy.ThompsonSampling(),
        "lin_ucb": LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0),
        "lin_thompson": LearningPolicy.LinTS(alpha=1.0, l2_lambda=1.0),
    }
    taught, questions = work(TAUGHT, seed=0), work(1000, seed=1)
    figures = {}
    for name, policy in policies.items():
        contextual = name.startswith("lin")
        mab = MAB(list(range(ARMS)), policy, n_jobs=1)
        mab.fit(taught.items, taught.rewards, taught.contexts if contextual else None)

        def ask(i: int, mab: Any = mab, contextual: bool = contextual) -> object:
            return mab.predict(questions.contexts[i : i + 1] if contextual else None)

        def teach(rows: slice, mab: Any = mab, contextual: bool = contextual) -> None:
            contexts = questions.contexts[rows] if contextual else None
            mab.partial_fit(questions.items[rows], questions.rewards[rows], contexts)

        figures[name] = {
            "decide 1": microseconds(ask, 10, 5),
            "update": microseconds(lambda i, teach=teach: teach(slice(i, i + 1)), 5, 5),  # type: ignore[misc]
            "update of 1,000": microseconds(lambda i, teach=teach: teach(slice(None)), 5, 1) / 1000,  # type: ignore[misc]
        }
    return figures


def main() -> None:
    """Print a table: microseconds, MABWiser's, the ratio, and the limit where we promise one."""
    if sys.argv[1:] == ["--theirs"]:
        print(json.dumps(theirs()))
        return
    other: dict[str, dict[str, float]] = {}
    if sys.argv[1:2] == ["--mabwiser"] and len(sys.argv) == 3:
        command = [sys.argv[2], __file__, "--theirs"]
        runs = (subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(PASSES))
        other = fastest(json.loads(run.stdout) for run in runs)
    elif sys.argv[1:]:
        sys.exit(f"{__doc__}")
    print(f"{_processor()}, one thread; {ARMS:,} arms, {CONTEXT_SIZE} context dimensions; fastest round, µs")
    print("decide: without propensities, as MABWiser; recommend: with them; 1 and 10: the length of the list")
    print(f"*: of {MANY_ARMS:,} arms; taught, then: an update, and the first list with propensities after it")
    print(f"{'policy':<18} {'':<15} {'ours':>9} {'MABWiser':>9} {'ratio':>7} {'limit':>6}")
    for row in _table(fastest(ours() for _ in range(PASSES)), other):
        print(row)


def fastest(passes: Iterator[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The smallest of each figure."""
    all_of_them = list(passes)
    return {
        name: {deed: min(one[name][deed] for one in all_of_them) for deed in deeds}
        for name, deeds in all_of_them[0].items()
    }


def _table(mine: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> Iterator[str]:
    for name, deeds in mine.items():
        for deed, taken in deeds.items():
            rival = other.get(name, {}).get(deed)
            compared = f"{rival:9.1f} {rival / taken:6.0f}x" if rival else f"{'':>9} {'':>7}"
            limit = LIMITS.get((name, deed))
            kept = "" if limit is None else f"{limit:6} {'kept' if taken <= limit else 'MISSED'}"
            yield f"{name:<18} {deed:<15} {taken:9.1f} {compared} {kept}".rstrip()


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
