"""Is Welch's test right where a few users earn most? Thousands of experiments without an effect.

    python benchmarks/skewed_tests.py            # half a minute
    python benchmarks/skewed_tests.py --smoke

Rewards are those of a shop in which most users earn nothing and a few much (skewness 22 to 27). Experiments
draw users from them, and look as planned, vectorized: the sums of all experiments at once. Three tests are
compared, by how often a look finds a difference that is not there (at most 0.05):

    Welch     the variances of both groups
    pooled    one variance for both groups
    larger    the larger error of the two, as looks use it
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr
from scipy.stats import skew

from tastemaker.experiments.analysis.decision import FEWEST_UNITS
from tastemaker.stats.group_sequential import bounds, obrien_fleming
from tastemaker.stats.shares import wilson

Float64 = NDArray[np.float64]

UNITS, AT_ONCE = 6_000, 200
SKEWNESS = (22.0, 27.0)


class Sums(NamedTuple):
    """Figures of one group in each experiment and look, float64[experiments, looks]."""

    n: Float64
    mean: Float64
    variance: Float64


def rewards() -> Float64:
    """Return the rewards of 7,000 users in a week, of the first shop that is as skewed as wanted."""
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        visits = 1 + rng.poisson(0.1 * rng.gamma(0.6, 6.0, 7_000))
        clicks, buys = rng.binomial(visits, 0.15), rng.binomial(visits, 0.04)
        earned = np.array([rng.lognormal(2.0, 1.0, n).sum() for n in buys]) + 0.2 * clicks
        if SKEWNESS[0] < skew(earned) < SKEWNESS[1]:
            return np.asarray(earned, np.float64)
    raise AssertionError("no shop is as skewed as wanted")


def groups(pool: Float64, ends: list[int], share: float, rng: np.random.Generator) -> tuple[Sums, Sums]:
    """Return treatment and control of some experiments at all looks."""
    values = pool[rng.integers(len(pool), size=(AT_ONCE, ends[-1]))]
    is_treated = rng.random(values.shape) < share

    def summed(rows: Float64) -> Float64:
        found: Float64 = np.add.reduceat(rows, [0, *ends[:-1]], axis=1).cumsum(axis=1)
        return found

    def of(kept: NDArray[np.bool_]) -> Sums:
        n, own = summed(kept.astype(np.float64)), np.where(kept, values, 0.0)
        mean = summed(own) / n
        return Sums(n, mean, (summed(own**2) - n * mean**2) / (n - 1))

    return of(is_treated), of(~is_treated)


def p_values(t: Sums, c: Sums) -> dict[str, Float64]:
    """Return the p-values of each test, float64[experiments, looks]."""
    one = (t.variance * (t.n - 1) + c.variance * (c.n - 1)) / (t.n + c.n - 2)
    own, pooled = (t.variance / t.n, c.variance / c.n), (one / t.n, one / c.n)
    is_larger = sum(pooled) > sum(own)
    larger = tuple(np.where(is_larger, a, b) for a, b in zip(pooled, own, strict=True))
    return {
        name: _p(t, c, errors) for name, errors in (("Welch", own), ("pooled", pooled), ("larger", larger))
    }


def _p(t: Sums, c: Sums, errors: tuple[Float64, ...]) -> Float64:
    a, b = errors
    degrees = (a + b) ** 2 / (a**2 / (t.n - 1) + b**2 / (c.n - 1))
    found: Float64 = 2 * stdtr(degrees, -np.abs(t.mean - c.mean) / np.sqrt(a + b))
    return found


def false_positives(pool: Float64, looks: int, share: float, runs: int) -> Iterator[str]:
    """Yield a line of each test."""
    information = [(k + 1) / looks for k in range(looks)]
    levels = 2 * ndtr(-np.asarray(bounds(information, obrien_fleming(0.05))))
    ends, rng = [math.ceil(UNITS * one) for one in information], np.random.default_rng(0)
    found: dict[str, int] = {}
    for _ in range(runs // AT_ONCE):
        with np.errstate(divide="ignore", invalid="ignore"):  # of groups without units, which don't decide
            t, c = groups(pool, ends, share, rng)
            tested = p_values(t, c)
        can_decide = np.minimum(t.n, c.n) >= FEWEST_UNITS
        for name, p in tested.items():
            found[name] = found.get(name, 0) + int(((p < levels) & can_decide).any(axis=1).sum())
    for name, count in found.items():
        interval = wilson(count, runs)
        yield f"{name:8s}{interval.value:.4f}  ({interval.low:.4f} to {interval.high:.4f})"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--runs", default=4_000, help="Experiments of each kind.")
@click.option("--smoke", is_flag=True, help="Few: shows that it runs.")
def main(runs: int, smoke: bool) -> None:
    """Count false positives by test, share of the treatment and looks."""
    raw = rewards()
    pools = {"raw": raw, "winsorized at 99 %": np.minimum(raw, np.quantile(raw, 0.99))}
    for name, pool in pools.items():
        click.echo(f"rewards {name}: skewness {skew(pool):.1f}, {np.mean(pool == 0):.0%} earn nothing")
        for share in (0.5, 0.3, 0.1, 0.05):
            for looks in (1, 14, 100):
                lines = list(false_positives(pool, looks, share, AT_ONCE if smoke else runs))
                click.echo(f"  treatment {share:.0%}, looks {looks:3d}   " + "   ".join(lines))


if __name__ == "__main__":
    main()
