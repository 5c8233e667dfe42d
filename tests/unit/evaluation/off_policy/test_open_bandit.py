"""The Open Bandit sample: what the Open Bandit Pipeline found, and what is exact."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from support.repository import ROOT
from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import EvaluationPolicy, estimate
from tastemaker.evaluation.off_policy.bandit_feedback import Float64
from tastemaker.evaluation.off_policy.open_bandit import Priors, load_log, load_priors, thompson_sampling

DOCS = ROOT / "docs"


def pipelines_stream() -> np.random.RandomState:
    """The generator and the seed that the Open Bandit Pipeline draws with."""
    return np.random.RandomState(12345)


def exact(priors: Priors, n_positions: int = 3) -> Float64:
    """float64[n_items, n_positions]: P(item i is at position p) = ∫ fᵢ(x) P(exactly p others exceed x) dx."""
    x = np.linspace(2e-4, 0.02, 20_001)
    below = np.asarray(beta.cdf(x, priors.alpha[:, None], priors.beta[:, None]))
    density = np.asarray(beta.pdf(x, priors.alpha[:, None], priors.beta[:, None]))
    found = np.empty((len(below), n_positions))
    for item in range(len(below)):
        above = np.zeros((n_positions, len(x)))  # row p: the chance that exactly p of the others exceed x
        above[0] = 1
        for other in np.delete(below, item, axis=0):
            shifted = np.vstack([np.zeros_like(x), above[:-1]])
            above = above * other + shifted * (1 - other)
        found[item] = np.trapezoid(density[item] * above, x, axis=1)
    return found


def test_agrees_with_the_open_bandit_pipeline(open_bandit: Path) -> None:
    """Its figures: IPS 0.004534, SNIPS 0.004604, effective sample size 2,467 of 10,000; on policy 0.0069."""
    log = load_log(open_bandit / "random_men.csv")
    priors = load_priors(open_bandit / "bts_men_prior.csv")
    target = EvaluationPolicy.by_position(log, thompson_sampling(priors, pipelines_stream()))
    report = estimate(log, target)
    assert report.results["ips"].estimate.value == pytest.approx(0.004534, rel=0.002)
    assert report.results["snips"].estimate.value == pytest.approx(0.004604, rel=0.002)
    assert round(report.diagnostics.effective_sample_size) == 2467
    assert report.diagnostics.impressions == 10_000
    assert report.logged.value == pytest.approx(0.0046)
    assert load_log(open_bandit / "bts_men.csv").rewards.mean() == pytest.approx(0.0069)


def test_the_exact_policy_agrees_too(open_bandit: Path) -> None:
    """Without any drawing: the reference is off by its own draws, and by no more than they explain."""
    log = load_log(open_bandit / "random_men.csv")
    priors = load_priors(open_bandit / "bts_men_prior.csv")
    chances = exact(priors)
    assert chances.sum(axis=0) == pytest.approx(1, abs=1e-6)
    report = estimate(log, EvaluationPolicy.by_position(log, chances / chances.sum(axis=0)))
    assert report.results["ips"].estimate.value == pytest.approx(0.004534, rel=0.002)
    assert report.results["snips"].estimate.value == pytest.approx(0.004604, rel=0.002)


def test_draws_converge_to_the_exact_policy(open_bandit: Path) -> None:
    """Each of 102 probabilities within five standard errors."""
    priors = load_priors(open_bandit / "bts_men_prior.csv")
    drawn = thompson_sampling(priors, np.random.default_rng(0), draws=100_000)
    chances = exact(priors)
    np.testing.assert_array_less(abs(drawn - chances), 5 * np.sqrt(chances * (1 - chances) / 1e5) + 1e-5)
    assert drawn.sum(axis=0) == pytest.approx(1)


def test_the_format_is_read_as_documented(open_bandit: Path) -> None:
    """Uniform over 34 items at each of three positions; four hashed user features and 34 affinities."""
    log = load_log(open_bandit / "random_men.csv")
    assert (len(log), log.n_actions, log.n_positions, log.n_rounds) == (10_000, 34, 3, 10_000)
    assert log.propensities == pytest.approx(1 / 34)
    assert log.contexts.shape[1] > 34
    assert log.contexts[:, :-34].max() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,position,click,propensity_score\n1,1,2,0.5\n", "click is 2 in row 1, must be 0 or 1"),
        (
            "timestamp,item_id,position,click,propensity_score\n9,1,1,0,0.5\n9,2,1,0,0.5\n9,1,1,1,0.5\n",
            "1 of 3 rows are duplicates",
        ),
        ("item_id,position,click\n1,1,0\n", "has no column propensity_score"),
        ("item_id,position,click,propensity_score\n1,1,0,0\n", r"propensities\[0\] is 0\.0"),
        ("item_id,position,click,propensity_score\n1,0,0,0.5\n", r"positions\[0\] is -1, must be at least 0"),
        ("item_id,position,click,propensity_score\n1,1,yes,0.5\n", "column click holds string"),
        ("item_id,position,click,propensity_score\n1,1,0\n", "can't be read as CSV"),
        ("item_id,position,click,propensity_score\n", "column item_id holds null"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(OffPolicyError, match=message):
        load_log(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,alpha,beta\n0,1,1\n2,1,1\n", "item_id does not hold each of 0 to 1 once"),
        ("item_id,alpha,beta\n0,1,0\n", "an alpha or beta is not above 0"),
    ],
)
def test_malformed_priors_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prior.csv"
    path.write_text(text)
    with pytest.raises(OffPolicyError, match=message):
        load_priors(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OffPolicyError, match="can't be read as CSV"):
        load_log(tmp_path / "nothing.csv")


def test_the_examples_in_the_docs(open_bandit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_DATASETS", str(open_bandit.parent))
    found = doctest.testfile(str(DOCS / "how-to" / "off-policy.md"), module_relative=False, encoding="utf-8")
    assert found.attempted > 5
    assert found.failed == 0
