"""Propensities against frequencies, against another integral, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import beta, norm

from tastemaker.plugins import Batch, Events, Feedback, History, TrainingData
from tastemaker.plugins.arrays import Int32
from tastemaker_bandits.common import Float64
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.poisson_binomial import ORDERS, circle
from tastemaker_bandits.position_propensities import PropensityCache, exact
from tastemaker_bandits.scores import LogOdds, Normal
from tastemaker_bandits.thompson import Thompson, ThompsonConfig

N_ITEMS = 12
DRAWS = 20_000


def learned(model: Thompson | LinThompson | LogisticThompson | EpsilonGreedy, d: int = 0) -> None:
    """400 shown items; arms differ in how often they were shown and how they please."""
    rng = np.random.default_rng(8)
    none = np.empty(0, np.int32)
    events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
    items: Int32 = (rng.beta(1, 2, 400) * N_ITEMS).astype(np.int32)
    model.fit(TrainingData(events, 0, N_ITEMS, end=0)).update(
        Feedback(
            np.zeros(400, np.int32),
            items,
            np.zeros(400, np.int32),
            (rng.random(400) < 0.2 + 0.3 * items / N_ITEMS).astype(np.float32),
            np.ones(400, np.float32),
            np.zeros(400, np.int64),
            rng.normal(size=(400, d)).astype(np.float32) if d else None,
        )
    )


def asked(n: int, d: int = 0) -> Batch:
    """The same request n times, with different seeds; some items are not available."""
    return Batch(
        np.full(n, -1, np.int32),
        History.empty(n, N_ITEMS),
        np.arange(n, dtype=np.uint64) * np.uint64(977),
        now=0,
        available=np.arange(N_ITEMS) % 5 != 4,
        context=np.full((n, d), 0.5, np.float32) if d else None,
    )


@pytest.mark.parametrize(
    ("model", "d"),
    [
        (Thompson(), 0),
        (LinThompson(LinThompsonConfig(context_size=3, exploration=0.7)), 3),
        (LogisticThompson(LogisticThompsonConfig(context_size=3)), 3),
        (EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.4)), 0),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_propensities_equal_frequencies_at_every_position(
    model: Thompson | LinThompson | LogisticThompson | EpsilonGreedy, d: int
) -> None:
    learned(model, d)
    ranking = model.recommend(asked(DRAWS, d), 4)
    for place in range(4):
        for item in np.unique(ranking.items[:, place]):
            here = ranking.items[:, place] == item
            said = ranking.propensities[here, place]
            assert np.ptp(said) < 1e-6
            limit = 5 * np.sqrt(said[0] * (1 - said[0]) / DRAWS) + 1 / DRAWS
            assert here.mean() == pytest.approx(said[0], abs=float(limit))


@pytest.mark.slow
def test_monte_carlo_propensities_keep_their_standard_error() -> None:
    """20,000 Monte Carlo draws are within five of their stated standard errors of the integral."""
    certain, sampled = Thompson(), Thompson(ThompsonConfig(draws=DRAWS))
    for model in (certain, sampled):
        learned(model)
    truth, estimate = (model.recommend(asked(300), 3) for model in (certain, sampled))
    np.testing.assert_array_equal(truth.items, estimate.items)
    p = truth.propensities.astype(np.float64)
    assert (np.abs(estimate.propensities - p) < 5 * np.sqrt(p * (1 - p) / DRAWS) + 2 / DRAWS).all()


@pytest.mark.slow
def test_first_position_agrees_with_adaptive_quadrature() -> None:
    """Normal scores of widths from 0.01 to 3, and the log-odds of very skewed betas: to 1e-6."""
    rng = np.random.default_rng(2)
    means, widths = rng.normal(size=8), np.geomspace(0.01, 3, 8)
    table = exact(Normal(means, widths), np.arange(8), np.arange(8), 1)[:, 0]

    def integrand(x: float, i: int) -> float:
        others = np.delete(np.arange(8), i)
        return float(norm.pdf(x, means[i], widths[i]) * np.prod(norm.cdf(x, means[others], widths[others])))

    points = np.sort(np.concatenate((means, means - 4 * widths, means + 4 * widths))).tolist()
    for i in range(8):
        assert table[i] == pytest.approx(
            quad(integrand, -20, 20, (i,), points=points, limit=500)[0], abs=1e-6
        )

    a, b = np.array([0.1, 1.1, 40.0, 300.0]), np.array([1000.0, 20.0, 700.0, 4700.0])
    table = exact(LogOdds(a, b), np.arange(4), np.arange(4), 1)[:, 0]
    for i in range(4):
        others = np.delete(np.arange(4), i)
        truth = quad(
            lambda u, i=i, others=others: np.prod(beta.cdf(beta.ppf(u, a[i], b[i]), a[others], b[others])),
            0,
            1,
            limit=500,
            epsabs=1e-9,
        )[0]
        assert table[i] == pytest.approx(truth, abs=1e-6)


def brute(scores: Normal, arms: NDArray[np.int64], k: int) -> Float64:
    """float64[arms, k] from the distribution of N_i, multiplied out, on a grid of 12,000 points."""
    x = np.linspace(-14, 22, 12_001)
    beyond = norm.sf(x, scores.centre[:, None], scores.spread[:, None])
    table = np.empty((len(arms), k))
    for row, i in enumerate(arms):
        pmf = np.zeros((k, len(x)))
        pmf[0] = 1
        for chance in np.delete(beyond, i, axis=0):
            pmf[1:], pmf[0] = pmf[1:] * (1 - chance) + pmf[:-1] * chance, pmf[0] * (1 - chance)
        density = norm.pdf(x, scores.centre[i], scores.spread[i])
        table[row] = np.trapezoid(density * pmf, x, axis=1)
    return table


@pytest.mark.slow
@pytest.mark.parametrize(("m", "k"), [(120, 1), (120, 5), (60, 20)])
def test_all_positions_agree_with_the_multiplied_distribution(m: int, k: int) -> None:
    rng = np.random.default_rng(3)
    scores = Normal(rng.normal(size=m), rng.uniform(0.2, 2, m))
    arms = np.arange(m)
    np.testing.assert_allclose(exact(scores, arms, arms, k), brute(scores, arms, k), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spreads", "k"), [((0.75, 3.6), 10), ((1.0, 1.0), 10), ((0.05, 2.0), 3)], ids=["wide", "equal", "narrow"]
)
def test_a_thousand_arms_agree_with_the_multiplied_distribution(spreads: tuple[float, float], k: int) -> None:
    """To 1e-6: most arms are in sums of single precision, the best are multiplied, some are left out."""
    rng = np.random.default_rng(6)
    scores = Normal(0.3 * rng.normal(size=1000), rng.uniform(*spreads, 1000))
    wanted = np.sort(np.argsort(-scores.centre - scores.spread)[[0, 30, 900]])
    table = exact(scores, np.arange(1000), wanted, k)
    np.testing.assert_allclose(table, brute(scores, wanted, k), atol=1e-6)


@pytest.mark.parametrize(
    ("m", "k", "seed"),
    [(60, 10, 3), (60, 5, 3), (20, 10, 3), (200, 5, 1), (15, 11, 11), (21, 14, 10), (29, 9, 20)],
)
def test_nearly_equal_arms_agree_with_the_multiplied_distribution(m: int, k: int, seed: int) -> None:
    """To 1e-6 where the number above a level falls from many to none over a few widths of a density."""
    rng = np.random.default_rng(seed)
    scores = Normal(0.3 * rng.normal(size=m), rng.uniform(1.0, 1.2, m))
    wanted = np.sort(np.argsort(-scores.centre)[[0, m // 2]])
    table = exact(scores, np.arange(m), wanted, k)
    np.testing.assert_allclose(table, brute(scores, wanted, k), atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4, 15])
def test_generating_functions_give_back_the_distribution(k: int) -> None:
    """Products of factors and exponentials of power sums against the polynomial, certain events included."""
    rng = np.random.default_rng(9)
    likely, unlikely = np.array([0.0, 1.0, 0.3, 0.5, 0.97]), rng.uniform(0, 0.12, 40)
    odds = unlikely / (1 - unlikely)
    sums = np.array([[(odds**r).sum()] for r in range(1, ORDERS + 1)])
    pmf = np.ones(1)
    for chance in (*likely, *unlikely):
        pmf = np.convolve(pmf, [1 - chance, chance])
    values = circle(k).factors(likely).prod(axis=0) * circle(k).from_power_sums(sums)
    np.testing.assert_allclose((values @ circle(k).inverse).real[0], pmf[:k], atol=1e-9)


def test_cached_integral_removes_items_exactly() -> None:
    """Removing items from the cached integral gives what an integral without them gives, however many."""
    rng = np.random.default_rng(4)
    scores = LogOdds(rng.uniform(0.5, 30, 500), rng.uniform(20, 400, 500))
    cache, common = PropensityCache(scores), rng.random(500) < 0.9
    best = np.argsort(-scores.centre)
    best = best[common[best]]
    for out in (best[:0], best[:1], best[3:200:7], best[-100:], best[:40], best[:300]):
        allowed = np.setdiff1d(np.flatnonzero(common), out)
        wanted = rng.choice(allowed, 6, replace=False)
        wanted[:3] = [each for each in best if each in set(allowed)][:3]
        wanted = np.unique(wanted)
        found = cache.propensities(common, allowed, wanted, 5)
        np.testing.assert_allclose(found, exact(scores, allowed, wanted, 5), atol=1e-6)


@pytest.mark.parametrize("model", [Thompson(), LinThompson()], ids=["thompson", "lin_thompson"])
def test_propensities_follow_updates(model: Thompson | LinThompson) -> None:
    """Propensities are those of the current state, whether or not the model was asked before the update."""
    learned(model)
    model.recommend(asked(1), 3)
    shown = np.full(50, 2, np.int32)
    more = Feedback(shown, shown, shown, np.ones(50, np.float32), np.ones(50, np.float32), shown.astype("i8"))
    fresh = type(model)()
    learned(fresh)
    now, never_asked = (each.update(more).recommend(asked(20), 3) for each in (model, fresh))
    np.testing.assert_array_equal(now.propensities, never_asked.propensities)


def test_equal_arms_are_equally_likely_at_every_position() -> None:
    """1,000 equal arms: 1/1000 at each of ten places."""
    arms = np.arange(1000)
    for scores in (Normal(np.zeros(1000), np.ones(1000)), LogOdds(np.full(1000, 0.5), np.full(1000, 30.0))):
        table = exact(scores, arms, arms[:5], 10)
        assert table == pytest.approx(np.full((5, 10), 1e-3), rel=1e-5)


def test_positions_and_items_each_sum_to_one() -> None:
    """k = m: a permutation's table is doubly stochastic."""
    rng = np.random.default_rng(4)
    table = exact(Normal(rng.normal(size=9), rng.uniform(0.1, 2, 9)), np.arange(9), np.arange(9), 9)
    assert table.sum(axis=0) == pytest.approx(np.ones(9), abs=1e-6)
    assert table.sum(axis=1) == pytest.approx(np.ones(9), abs=1e-6)


def test_epsilon_greedy_in_closed_form() -> None:
    """Ten items are allowed: the greedy one has 0.7 + 0.3 / 10, any other 0.3 / 10."""
    model = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.3))
    learned(model)
    ranking = model.recommend(asked(2000), 2)
    assert sorted({round(float(p), 6) for p in ranking.propensities.ravel()}) == [0.03, 0.73]
