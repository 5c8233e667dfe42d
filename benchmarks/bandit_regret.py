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
WORLDS = {"everybody likes the same": replace(WORLD, taste_spread=0.0), "tastes depend on the context": WORLD}


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
    curves = {title: _play(title, world, requests, worlds) for title, world in WORLDS.items()}
    _plot(curves, worlds, out)
    click.echo(f"picture in {out}")


def _play(title: str, world: World, requests: int, worlds: int) -> dict[str, np.ndarray]:
    """The cumulative regret of each policy, one row a world."""
    click.echo(f"{title}: rewards lost after {requests:,} requests, mean and 95 % interval")
    curves = {}
    for name, model in policies().items():
        curve = np.stack([replace(world, seed=seed).regret(model, requests) for seed in range(worlds)])
        click.echo(f"  {name:<28} {curve[:, -1].mean():8.1f} ± {_half_width(curve[:, -1:])[0]:.1f}")
        curves[name] = curve
    return curves


def _half_width(curves: np.ndarray) -> np.ndarray:
    """Of the 95 % interval of the mean over worlds, by Student's t."""
    n = len(curves)
    width: np.ndarray = student.ppf(0.975, n - 1) * curves.std(axis=0, ddof=1) / np.sqrt(n)
    return width


def _plot(panels: dict[str, dict[str, np.ndarray]], worlds: int, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, places = plt.subplots(1, len(panels), figsize=(13, 6), layout="constrained")
    for axes, (title, curves) in zip(places, panels.items(), strict=True):
        for name, curve in curves.items():
            x = np.unique(np.linspace(0, curve.shape[1] - 1, 400).astype(int))
            mean, half = curve.mean(axis=0)[x], _half_width(curve)[x]
            (line,) = axes.plot(x + 1, mean, label=name)
            axes.fill_between(x + 1, mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.axhline(0, color="black", linestyle="--", linewidth=1, label="oracle")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("requests")
        axes.grid(alpha=0.3)
    places[0].set_ylabel("cumulative regret (expected rewards lost)")
    places[0].legend(loc="upper left")
    looks = ", ".join(f"{p:g}" for p in WORLD.examination)
    figure.suptitle(
        f"{WORLD.arms} arms, {WORLD.context_size} context dimensions, lists of {len(WORLD.examination)} "
        f"looked at with probabilities {looks}, feedback every {WORLD.at_once} requests\n"
        f"mean and 95 % interval over {worlds} worlds (seeds 0 to {worlds - 1})",
        fontsize=11,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
