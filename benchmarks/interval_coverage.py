"""How often does a 95 % interval over users hold the true mean? The platform's beside four others.

    python benchmarks/interval_coverage.py               # 2,000 data sets a line, ten minutes
    python benchmarks/interval_coverage.py --smoke

A user's figure is 0 or, at the hit rate, that of a hit at a place drawn evenly from ten (`ndcg`).
`difference` is that of two models that find half of their hits together. A share of data sets has no interval
by the rule of `stats.confidence`; coverage is that of the others, where they are 2 % or more, and the
other methods are shown on the same data sets. A coverage of 95 % has a standard error of 0.5 % among 2,000.
"""

from __future__ import annotations

from collections.abc import Callable

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from tastemaker.stats.confidence import ends

Float64 = NDArray[np.float64]
Ends = NDArray[np.float64]
"""float64[2]"""

USERS, RATES = (5, 10, 20, 50, 100, 500), (0.02, 0.05, 0.20, 0.50)
PLACES = 1 / np.log2(np.arange(2, 12))
SHOWN = 0.02


def ndcg(rng: np.random.Generator, users: int, rate: float) -> tuple[Float64, float]:
    """Draw the figures of one model, float64[users], and return them with the true mean."""
    values = (rng.random(users) < rate) * rng.choice(PLACES, users)
    return values, rate * float(PLACES.mean())


def difference(rng: np.random.Generator, users: int, rate: float) -> tuple[Float64, float]:
    """Draw the differences of two models, float64[users], and return them with the true mean."""
    together = rng.random(users) < rate / 2
    one, other = (
        (together | (rng.random(users) < rate / 2)) * rng.choice(PLACES, users) for _model in range(2)
    )
    return one - other, 0.0


def platform(values: Float64, means: Float64) -> Ends:
    """Return the platform's interval: the wider of Student's and Hall's ends, or NaN."""
    error = float(means.std()) * (len(values) / (len(values) - 1)) ** 0.5
    return np.array(ends(float(values.mean()), error, values, 0.95))


def student(values: Float64, means: Float64) -> Ends:
    """Return Student's interval, x̄ ± t s/√n."""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return np.asarray(values.mean() + np.array([-half, half]))


def percentile(values: Float64, means: Float64) -> Ends:
    """Return the quantiles of the bootstrapped means."""
    return np.asarray(np.quantile(means, [0.025, 0.975]))


def bca(values: Float64, means: Float64) -> Ends:
    """Return the quantiles at levels corrected for bias and acceleration. Efron, JASA 82(397), 1987."""
    off = values - values.mean()
    spread = float((off**2).sum()) ** 1.5
    if spread == 0:
        return np.full(2, values.mean())
    acceleration = float((off**3).sum()) / (6 * spread)
    below = np.mean(means < values.mean()) + np.mean(means == values.mean()) / 2
    bias = norm.ppf(np.clip(below, 1e-3, 1 - 1e-3))
    z = bias + norm.ppf([0.025, 0.975])
    return np.asarray(np.quantile(means, norm.cdf(bias + z / (1 - acceleration * z))))


METHODS: dict[str, Callable[[Float64, Float64], Ends]] = {
    "platform": platform,
    "student": student,
    "percentile": percentile,
    "bca": bca,
}


def studentized(values: Float64, drawn: NDArray[np.intp], means: Float64) -> Ends:
    """Return the bootstrap-t interval: x̄ less s times the quantiles of the bootstrapped (x̄* - x̄)/s*."""
    errors, error = values[drawn].std(axis=1, ddof=1), values.std(ddof=1)
    off = means - values.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(errors > 0, off / errors, np.sign(off) * 1e9 * (off != 0))
    return np.asarray(values.mean() - error * np.quantile(ratios, [0.975, 0.025], method="nearest"))


def covered(kind: str, users: int, rate: float, runs: int, resamples: int) -> tuple[float, dict[str, float]]:
    """Return the share of data sets with an interval, and of those each method's coverage.

    Args:
        kind: "ndcg" or "difference".
        users: Users per data set.
        rate: The hit rate of a model.
        runs: Number of data sets.
        resamples: Bootstrap resamples per data set.
    """
    rng = np.random.default_rng([users, round(1000 * rate), len(kind)])
    draw = {"ndcg": ndcg, "difference": difference}[kind]
    hits: dict[str, list[bool]] = {name: [] for name in (*METHODS, "bootstrap-t")}
    given = []
    for _run in range(runs):
        values, truth = draw(rng, users, rate)
        drawn = rng.integers(0, users, (resamples, users))
        means = values[drawn].mean(axis=1)
        found = {name: method(values, means) for name, method in METHODS.items()}
        found["bootstrap-t"] = studentized(values, drawn, means)
        given.append(bool(np.isfinite(found["platform"]).all()))
        for name, (low, high) in found.items():
            hits[name].append(bool(low - 1e-12 <= truth <= high + 1e-12))
    kept = np.array(given)
    return float(kept.mean()), {
        name: float(np.mean(np.array(one)[kept])) for name, one in hits.items() if kept.any()
    }


@click.command()
@click.option("--runs", default=2_000, show_default=True, help="Data sets a line.")
@click.option("--resamples", default=999, show_default=True, help="Of the bootstrap, a data set.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(runs: int, resamples: int, smoke: bool) -> None:
    """Print a line for each kind of figure, number of users and hit rate."""
    runs, resamples = (20, 50) if smoke else (runs, resamples)
    names = (*METHODS, "bootstrap-t")
    click.echo(
        f"{'figure':<12} {'users':>5} {'rate':>5} {'given':>7} " + " ".join(f"{one:>11}" for one in names)
    )
    for kind in ("ndcg", "difference"):
        for users in USERS:
            for rate in RATES:
                given, shares = covered(kind, users, rate, runs, resamples)
                line = f"{kind:<12} {users:>5} {rate:>5.2f} {given:>7.3f} "
                cells = (f"{shares[name]:>11.3f}" for name in names) if given >= SHOWN else ("",)
                click.echo(line + " ".join(cells))


if __name__ == "__main__":
    main()
