"""What each bandit loses while it learns: cumulative regret in worlds whose success rates are known.

Every policy plays the same worlds (the same seeds: the same arms, users and coins). Bands are 95 % intervals
of the mean over worlds. The oracle knows the rates and loses nothing.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.stats import t as student

from tastemaker.plugins import Recommender
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.thompson import Thompson, ThompsonConfig
from tastemaker_bandits.ucb1 import UCB1, UCB1Config
from tastemaker_bandits.world import World
from tastemaker_baselines.random import Random

WORLD = World()


class UniformlyRandom(Random):
    """Learns nothing, but takes feedback."""

    def update(self, feedback: object) -> UniformlyRandom:
        return self


def policies() -> dict[str, Recommender[Any]]:
    """Each is told how far users look, and has its defaults but for what is named; none is tuned further."""
    looked = WORLD.examination
    looks: dict[str, Any] = {"context_size": WORLD.context_size, "examination": looked}
    return {
        "random": UniformlyRandom(),
        "epsilon_greedy (ε = 0.1)": EpsilonGreedy(EpsilonGreedyConfig(examination=looked)),
        "ucb1 (c = 2)": UCB1(UCB1Config(examination=looked, prior_successes=0, prior_failures=0)),
        "thompson (prior 1, 1)": Thompson(
            ThompsonConfig(examination=looked, prior_successes=1, prior_failures=1)
        ),
        "lin_ucb (α = 0.5)": LinUCB(LinUCBConfig(exploration=0.5, **looks)),
        "lin_thompson (v = 0.25)": LinThompson(LinThompsonConfig(exploration=0.25, **looks)),
        "logistic_thompson (v = 0.5)": LogisticThompson(LogisticThompsonConfig(exploration=0.5, **looks)),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--requests", default=10_000, show_default=True, type=click.IntRange(min=100))
@click.option("--worlds", default=20, show_default=True, type=click.IntRange(min=2), help="Seeds 0, 1, ...")
@click.option(
    "--out",
    default=Path("docs/images/bandit_regret.png"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
def main(requests: int, worlds: int, out: Path) -> None:
    """Plot the cumulative regret of every bandit, of random lists and of the oracle on one picture.

    \b
    Examples:
      python benchmarks/bandit_regret.py
      python benchmarks/bandit_regret.py --worlds 5 --requests 2000 --out /tmp/regret.png
    """
    curves = {}
    for name, model in policies().items():
        curves[name] = np.stack([replace(WORLD, seed=seed).regret(model, requests) for seed in range(worlds)])
        last, half = curves[name][:, -1], _half_width(curves[name][:, -1:])[0]
        click.echo(f"{name:<26} {last.mean():8.1f} ± {half:.1f} lost rewards after {requests:,} requests")
    _plot(curves, requests, worlds, out)
    click.echo(f"picture in {out}")


def _half_width(curves: np.ndarray) -> np.ndarray:
    """Of the 95 % interval of the mean over worlds, by Student's t."""
    n = len(curves)
    width: np.ndarray = student.ppf(0.975, n - 1) * curves.std(axis=0, ddof=1) / np.sqrt(n)
    return width


def _plot(curves: dict[str, np.ndarray], requests: int, worlds: int, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    x = np.unique(np.linspace(0, requests - 1, 400).astype(int))
    for name, curve in curves.items():
        mean, half = curve.mean(axis=0)[x], _half_width(curve)[x]
        (line,) = axes.plot(x + 1, mean, label=name)
        axes.fill_between(x + 1, mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.axhline(0, color="black", linestyle="--", linewidth=1, label="oracle")
    axes.set_xlim(0, requests)
    axes.set_xlabel("requests")
    axes.set_ylabel("cumulative regret (expected rewards lost)")
    looks = ", ".join(f"{p:g}" for p in WORLD.examination)
    axes.set_title(
        f"{WORLD.arms} arms, {WORLD.context_size} context dimensions, lists of {len(WORLD.examination)} "
        f"looked at with probabilities {looks}\n"
        f"mean and 95 % interval over {worlds} worlds (seeds 0 to {worlds - 1}); feedback every "
        f"{WORLD.at_once} requests",
        fontsize=10,
    )
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
