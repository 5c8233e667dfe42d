"""What each bandit loses while it learns: cumulative regret where the success rates are known.

Two pictures: the bandits' own small world, and the platform's simulated shop, where random lists and what
sells best are to be beaten. Every policy plays the same worlds (the same seeds: the same items, users and
coins). Bands are 95 % intervals of the mean over worlds. The oracle knows the rates and loses nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from scipy.stats import t as student

from tastemaker.plugins import Recommender
from tastemaker.simulator.regret import Reward, Showroom
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.click_model import examination
from tastemaker_bandits.environment import Environment
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.thompson import Thompson, ThompsonConfig
from tastemaker_bandits.ucb1 import UCB1, UCB1Config
from tastemaker_baselines.popularity import Popularity
from tastemaker_baselines.random import Random

WORLD = Environment()
SHOP = ShopConfig(n_users=500, n_items=50, n_days=30, tastes=5, events_per_day=300, taste_concentration=0.3)
LIST = 5
Models = dict[str, Recommender[Any]]
Play = Callable[[Recommender[Any] | None, int, int], np.ndarray]
"""(a model, or None for the oracle; a seed; requests) -> cumulative regret, float64[requests]."""


class Scene(NamedTuple):
    """One picture: its panels by title, who plays, and what is said above it."""

    panels: dict[str, Play]
    policies: Models
    caption: str


class UniformlyRandom(Random):
    """Learns nothing, but takes feedback."""

    def update(self, feedback: object) -> UniformlyRandom:
        return self


def world() -> Scene:
    """Return the scene of Gaussian contexts and arms with logistic success rates."""

    def play(spread: float) -> Play:
        return lambda model, seed, requests: (
            np.zeros(requests)
            if model is None
            else replace(WORLD, taste_spread=spread, seed=seed).regret(model, requests)
        )

    titles = {"all users like the same": 0.0, "tastes depend on the context": WORLD.taste_spread}
    looks = ", ".join(f"{p:g}" for p in WORLD.examination)
    return Scene(
        {title: play(spread) for title, spread in titles.items()},
        {"random": UniformlyRandom(), **bandits(WORLD.examination, WORLD.context_size)},
        f"{WORLD.arms} arms, {WORLD.context_size} context dimensions, lists of {len(WORLD.examination)} "
        f"looked at with probabilities {looks}, feedback every {WORLD.at_once} requests",
    )


def shop() -> Scene:
    """Return the scene of the simulated shop after 30 days, of which bandits know nothing at the start."""

    @cache
    def room(reward: Reward, seed: int) -> Showroom:
        return Showroom(Shop(SHOP.model_copy(update={"seed": seed})), reward=reward, k=LIST)

    def play(reward: Reward) -> Play:
        def regret(model: Recommender[Any] | None, seed: int, requests: int) -> np.ndarray:
            where = room(reward, seed)
            if model is None:
                return where.regret(where.oracle, requests)
            model.fit(where.data)
            learns = model.capabilities.learns_online
            return where.regret(model.top_k, requests, model.update if learns else None)

        return regret

    return Scene(
        {"reward: a click": play("click"), "reward: a cart": play("cart")},
        {
            "random": Random(),
            "popularity": Popularity(),
            **bandits(tuple(examination(LIST)), SHOP.tastes, history_impressions=0),
        },
        f"The simulated shop: {SHOP.n_items} items, {SHOP.n_users} users of {SHOP.tastes} tastes, given as "
        f"context; lists of {LIST}, examined with (1 + place)^-0.7; feedback every 20 requests",
    )


SCENES: dict[str, Callable[[], Scene]] = {"world": world, "shop": shop}


def bandits(looked: tuple[float, ...], context_size: int, **common: Any) -> Models:
    """Return the bandits with their defaults, except for the examined positions and what the names say."""
    common |= {"examination": looked}
    looks = {"context_size": context_size, **common}
    return {
        "epsilon_greedy (ε = 0.1)": EpsilonGreedy(EpsilonGreedyConfig(**common)),
        "ucb1 (c = 2)": UCB1(UCB1Config(prior_successes=0, prior_failures=0, **common)),
        "thompson (prior 1, 1)": Thompson(ThompsonConfig(prior_successes=1, prior_failures=1, **common)),
        "lin_ucb (α = 0.5)": LinUCB(LinUCBConfig(exploration=0.5, **looks)),
        "lin_thompson (v = 0.25)": LinThompson(LinThompsonConfig(exploration=0.25, **looks)),
        "logistic_thompson (v = 0.5)": LogisticThompson(LogisticThompsonConfig(exploration=0.5, **looks)),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("scenes", nargs=-1, type=click.Choice([*SCENES]))
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--requests", default=10_000, show_default=True, type=click.IntRange(min=100))
@click.option("--worlds", default=20, show_default=True, type=click.IntRange(min=2), help="Seeds 0, 1, ...")
@click.option(
    "--out",
    default=Path("docs/images"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder.",
)
def main(scenes: tuple[str, ...], smoke: bool, requests: int, worlds: int, out: Path) -> None:
    """Plot the cumulative regret of every bandit, of what they must beat and of the oracle on one picture.

    \b
    Examples:
      python benchmarks/bandit_regret.py
      python benchmarks/bandit_regret.py shop --worlds 5 --requests 2000 --out /tmp
    """
    with ExitStack() as kept:
        if smoke:
            requests, worlds = 100, 2
            out = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="regret-")))
        draw(scenes or tuple(SCENES), requests, worlds, out)


def draw(scenes: Sequence[str], requests: int, worlds: int, out: Path) -> None:
    """Draw one picture per scene into the folder `out`."""
    for name in scenes:
        scene = SCENES[name]()
        curves = {title: _play(title, play, scene, requests, worlds) for title, play in scene.panels.items()}
        path = out / f"{'bandit' if name == 'world' else name}_regret.png"
        _plot(curves, scene.caption, worlds, path)
        click.echo(f"picture in {path}")


def _play(title: str, play: Play, scene: Scene, requests: int, worlds: int) -> dict[str, np.ndarray]:
    """Return the cumulative regret of each policy, float64[worlds, requests]."""
    click.echo(f"{title}: rewards lost after {requests:,} requests, mean and 95 % interval")
    curves = {}
    for name, model in (scene.policies | {"oracle": None}).items():
        curve = np.stack([play(model, seed, requests) for seed in range(worlds)])
        click.echo(f"  {name:<28} {curve[:, -1].mean():8.1f} ± {_half_width(curve[:, -1:])[0]:.1f}")
        curves[name] = curve
    return curves


def _half_width(curves: np.ndarray) -> np.ndarray:
    """Return half the width of the 95 % interval of the mean over worlds, by Student's t."""
    n = len(curves)
    width: np.ndarray = student.ppf(0.975, n - 1) * curves.std(axis=0, ddof=1) / np.sqrt(n)
    return width


def _plot(panels: dict[str, dict[str, np.ndarray]], caption: str, worlds: int, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, places = plt.subplots(1, len(panels), figsize=(13, 6), layout="constrained")
    for axes, (title, curves) in zip(places, panels.items(), strict=True):
        for name, curve in curves.items():
            x = np.unique(np.linspace(0, curve.shape[1] - 1, 400).astype(int))
            mean, half = curve.mean(axis=0)[x], _half_width(curve)[x]
            style = {"color": "black", "linestyle": "--", "linewidth": 1} if name == "oracle" else {}
            (line,) = axes.plot(x + 1, mean, label=name, **style)
            axes.fill_between(x + 1, mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("requests")
        axes.grid(alpha=0.3)
    places[0].set_ylabel("cumulative regret (expected rewards lost)")
    places[0].legend(loc="upper left")
    figure.suptitle(
        f"{caption}\nmean and 95 % interval over {worlds} worlds (seeds 0 to {worlds - 1})", fontsize=11
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
