"""The formulation says what the problem file says, in mathematics that renders."""

from __future__ import annotations

import re
from typing import Any

import pytest
from matplotlib.mathtext import MathTextParser

from tastemaker.errors import ProblemError
from tastemaker.evaluation.metrics import METRICS as COMPUTED
from tastemaker.framing.answers import accept, question, to_problem
from tastemaker.framing.formulation import formulate
from tastemaker.framing.metrics import METRICS
from tastemaker.framing.notation import Formula, name, number
from tastemaker.framing.questions import QUESTIONS, shown
from tastemaker.framing.rendering import to_markdown, to_text
from tastemaker.problem import ProblemSpec
from tastemaker.problem.rules import ACCURACY_METRICS

RICH: dict[str, Any] = {
    "name": "all at once",
    "placement": {"k": 7},
    "objectives": [
        {
            "name": "net sales",
            "share": 0.75,
            "events": {
                "purchase": {"by_value": True, "weight": 2, "window_days": 14, "half_life_days": 3.5},
                "return_100%": {"weight": -0.5},
            },
        },
        {"name": "interest", "share": 0.25, "events": {"view": {"weight": 1e-7}, "purchase": {}}},
    ],
    "guardrails": [
        {"metric": "coverage", "at_least": 0.125},
        {"metric": "novelty", "at_least": 3, "at_most": 11},
    ],
    "baseline": "bought_again",
    "split": {"test_days": 21, "train_days": 90},
    "candidates": {
        "repeats": False,
        "available_days": 60,
        "blocked_categories": ["Gift cards & {more}", "Öl_1 #2 ~ ^ \\ $"],
        "blocked_items": ["A-1"],
    },
}


def spec(**changes: Any) -> ProblemSpec:
    return ProblemSpec.model_validate({**RICH, **changes})


def formulas(problem: ProblemSpec) -> list[Formula]:
    return [formula for section in formulate(problem) for formula in section.formulas]


def text_of(problem: ProblemSpec, title: str) -> str:
    return "\n".join(
        formula.text
        for section in formulate(problem)
        if section.title == title
        for formula in section.formulas
    )


def renders(latex: str) -> bool:
    """Does an independent parser of TeX mathematics accept it, with ink to show?"""
    # matplotlib lacks TeX's ampersand
    width = MathTextParser("path").parse(f"${latex.replace(chr(92) + '&', '+')}$").width
    return float(width) > 0


@pytest.mark.slow
@pytest.mark.parametrize("metric", ACCURACY_METRICS)
def test_every_formula_renders_as_latex(metric: str) -> None:
    for formula in formulas(spec(metric=metric)):
        assert renders(formula.latex), formula.latex


def test_every_primary_metric_has_its_formula_and_is_computed() -> None:
    assert tuple(METRICS) == ACCURACY_METRICS
    assert set(METRICS) <= set(COMPUTED)


def test_sections() -> None:
    titles = [section.title for section in formulate(spec())]
    assert titles == ["Objective", "Reward", "Constraint set", "Split", "Estimator"]


def test_the_reward_has_every_weight_window_and_discount() -> None:
    reward = text_of(spec(), "Reward")
    assert "r(u, a) = 0.75 · r[net sales](u, a) + 0.25 · r[interest](u, a)" in reward
    assert "Σ_{j: purchase, 0≤δⱼ≤14} 2·vⱼ·2^(−δⱼ/3.5) + Σ_{j: return_100%, 0≤δⱼ≤7} (-0.5)" in reward
    assert "Σ_{j: view, 0≤δⱼ≤7} 1e-07 + Σ_{j: purchase, 0≤δⱼ≤7} 1" in reward


def test_the_offline_weights_are_those_that_data_is_weighed_with() -> None:
    estimator = text_of(spec(), "Estimator")
    assert "w(purchase) = 1.5·vⱼ + 0.25" in estimator  # by value in one objective, flat in the other
    assert "w(return_100%) = (-0.375)" in estimator
    plain = spec(objectives=[{"name": "a", "events": {"view": {"weight": 0.3}}}])
    assert f"w(view) = {plain.event_weights['view']:g}" in text_of(plain, "Estimator")


def test_the_constraint_set_has_every_rule_and_guardrail() -> None:
    constraints = text_of(spec(), "Constraint set")
    for part in ("min(7,", "i ∉ H(u, t)", "t − τ(i) ≤ 60 d", "c(i) ∉ {Gift cards & {more}", "i ∉ {A-1}"):
        assert part in constraints
    assert "0.125 ≤ coverage@7(π)" in constraints
    assert "3 ≤ novelty@7(π) ≤ 11" in constraints


def test_what_may_be_lost_in_a_slice_is_a_constraint() -> None:
    limited = spec(
        metric="ndcg", baseline="popularity", guardrails=[], slices={"max_loss": {"users=new": 0.01}}
    )
    expected = "ndcg@7(π | users=new) ≥ ndcg@7(popularity | users=new) − 0.01"
    assert expected in text_of(limited, "Constraint set")


def test_a_problem_without_rules_has_no_conditions() -> None:
    assert "A(u, t) = { i ∈ I }" in text_of(spec(candidates={}, guardrails=[]), "Constraint set")


def test_split_and_estimator() -> None:
    assert "T − 90 d ≤ tⱼ < T" in text_of(spec(), "Split")
    assert "H = 21 d" in text_of(spec(), "Split")
    assert "{ j : tⱼ < T }" in text_of(spec(split={"test_days": 5}), "Split")
    assert "MAP@7(π(u, T), R(u))" in text_of(spec(metric="map"), "Estimator")
    assert "V̂(bought_again)" in text_of(spec(), "Estimator")


def test_both_notations_have_the_same_numbers() -> None:
    subscripts = str.maketrans("₀₁₂", "012")
    for formula in formulas(spec()):
        if "frac" not in formula.latex and "10^" not in formula.latex:
            text, latex = formula.text.translate(subscripts), formula.latex
            assert sorted(re.findall(r"[\d.]*\d", text)) == sorted(re.findall(r"[\d.]*\d", latex)), formula


def test_numbers_and_names() -> None:
    assert number(7.0) == Formula("7", "7")
    assert number(2.5e-7) == Formula("2.5e-07", r"2.5 \cdot 10^{-7}")
    assert name("50%_off {now}").latex == r"\mathrm{50\%\_off\ \{now\}}"
    assert name(" a\n b ").text == "a b"


def test_markdown_can_not_be_broken_out_of() -> None:
    page = to_markdown(spec(name="# <b>not $ mine</b>", placement={"who": "*all* of `us`"}))
    assert page.startswith("# \\# \\<b\\>not \\$ mine\\</b\\>\n")
    assert "\\*all\\* of \\`us\\`" in page
    assert page.count("$$") == 2 * len(formulas(spec()))


def test_text_keeps_to_the_width_where_it_can() -> None:
    lines = to_text(spec(), width=60).splitlines()
    assert all(len(line) <= 60 for line in lines if line.startswith("  · "))


def test_questions_are_complete() -> None:
    keys = [one.key for one in QUESTIONS]
    assert len(set(keys)) == len(keys)
    for one in QUESTIONS:
        assert "?" in one.ask
        assert one.reason.endswith(".")
        assert one.parse(shown(one.default)) == one.default


def test_defaults_make_a_problem() -> None:
    problem = to_problem({})
    assert problem.event_weights == {"purchase": 1.0}
    assert problem.guardrails == ()


def test_answers_reach_their_fields() -> None:
    problem = to_problem(
        {
            "name": "n", "who": "a", "what": "b", "where": "c", "when": "d", "k": 3,
            "event_type": "buy", "by_value": True, "window_days": 2.0, "half_life_days": 1.5,
            "second_event_type": "look", "second_share": 0.35, "metric": "mrr", "coverage_at_least": 0.1,
            "baseline": "trending", "test_days": 9, "train_days": 99, "repeats": False,
            "available_days": 8, "blocked_categories": ("x", "y"),
        }
    )  # fmt: skip
    assert problem.placement.model_dump() == {"who": "a", "what": "b", "where": "c", "when": "d", "k": 3}
    buy, look = problem.objectives
    assert (buy.share, look.share) == (0.65, 0.35)
    assert buy.events["buy"].model_dump() == {
        "weight": 1.0, "by_value": True, "window_days": 2.0, "half_life_days": 1.5,
    }  # fmt: skip
    assert not look.events["look"].by_value
    assert (problem.metric, problem.baseline) == ("mrr", "trending")
    assert (problem.split.test_days, problem.split.train_days) == (9, 99)
    assert problem.candidates.model_dump() == {
        "repeats": False, "available_days": 8, "blocked_categories": ("x", "y"), "blocked_items": (),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "answer", "message"),
    [
        ("k", "ten", "k is 'ten', must be a whole number"),
        ("k", "0", "placement.k is 0, must be at least 1"),
        ("repeats", "maybe", "must be yes or no"),
        ("metric", "coverage", "must be one of ndcg"),
        ("name", "  ", "must be some text"),
        ("coverage_at_least", "20", "coverage lies between 0 and 1"),
        ("second_event_type", "purchase", "two objectives are named 'purchase'"),
        ("baseline", "Best Sellers", "can't be a model's name"),
        ("window_days", "nan", "must be a finite number"),
    ],
)
def test_an_answer_that_will_not_do(key: str, answer: str, message: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(message)):
        accept(question(key), answer, {})


def test_an_unknown_question_names_the_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean test_days"):
        question("testdays")
