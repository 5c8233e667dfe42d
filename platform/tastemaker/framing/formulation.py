"""Mathematical formulation of a problem: objective, reward, constraint set, split and estimator.

Each part is a function of the problem. The estimator is what `evaluation` computes, in the same variants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tastemaker.framing.metrics import METRICS
from tastemaker.framing.notation import Formula, name, number, set_of, sum_of
from tastemaker.problem.spec import EventReward, Guardrail, Objective, ProblemSpec


class FormulationSection(NamedTuple):
    """Part of a formulation: formulas, then remarks."""

    title: str
    formulas: tuple[Formula, ...]
    remarks: tuple[str, ...]


def formulate(spec: ProblemSpec) -> tuple[FormulationSection, ...]:
    """Return the whole formulation of a problem."""
    return objective(spec), reward(spec), constraints(spec), split(spec), estimator(spec)


def objective(spec: ProblemSpec) -> FormulationSection:
    """Return the definition of the best policy."""
    return FormulationSection(
        "Objective",
        (
            Formula("π* = argmax_{π ∈ Π} V(π)", r"\pi^{*} = \arg\max_{\pi \in \Pi} V(\pi)"),
            Formula(
                "V(π) = 𝔼_{(u,x)} 𝔼_{a ∼ π(·|u,x)} [ r(u, a) ]",
                r"V(\pi) = \mathbb{E}_{(u,x)} \, \mathbb{E}_{a \sim \pi(\cdot \mid u,x)} [ r(u, a) ]",
            ),
        ),
        (
            f"u: {spec.placement.who}; a: a list of {spec.placement.what}; "
            f"x: the situation ({spec.placement.where}, {spec.placement.when}).",
            "π: a policy, the probability of each list given user and situation. V: its mean reward.",
        ),
    )


def reward(spec: ProblemSpec) -> FormulationSection:
    """Return the definition of the reward of a list."""
    parts = [(number(one.share), name(one.name)) for one in spec.objectives]
    single = len(parts) == 1
    total = sum_of(
        [
            Formula(
                f"r[{word.text}](u, a)" if single else f"{share.text} · r[{word.text}](u, a)",
                rf"r_{{{word.latex}}}(u, a)" if single else rf"{share.latex} \, r_{{{word.latex}}}(u, a)",
            )
            for share, word in parts
        ]
    )
    rewards = [one for each in spec.objectives for one in each.events.values()]
    remarks = [
        "j: the user's events of that type with an item of the list; δⱼ: days since the item was shown.",
    ]
    if any(one.by_value for one in rewards):
        remarks.append("vⱼ: the event's value, as the data gives it.")
    if any(one.half_life_days is not None for one in rewards):
        remarks.append("2^(−δ/h): the discount; an event h days later counts half.")
    return FormulationSection(
        "Reward",
        (
            Formula(f"r(u, a) = {total.text}", f"r(u, a) = {total.latex}"),
            *(_objective_reward(one) for one in spec.objectives),
        ),
        tuple(remarks),
    )


def _objective_reward(one: Objective) -> Formula:
    word = name(one.name)
    total = sum_of([_event_reward(event_type, event) for event_type, event in one.events.items()])
    return Formula(f"r[{word.text}](u, a) = {total.text}", rf"r_{{{word.latex}}}(u, a) = {total.latex}")


def _event_reward(event_type: str, event: EventReward) -> Formula:
    kind, window, worth = (
        name(event_type),
        number(event.window_days),
        _worth(event.weight, event.by_value, "ⱼ"),
    )
    text = f"Σ_{{j: {kind.text}, 0≤δⱼ≤{window.text}}} {worth.text}"
    latex = rf"\sum_{{j \in {kind.latex},\ 0 \leq \delta_j \leq {window.latex}}} {worth.latex}"
    if event.half_life_days is not None:
        half_life = number(event.half_life_days)
        text += f"·2^(−δⱼ/{half_life.text})"
        latex += rf" \cdot 2^{{-\delta_j / {half_life.latex}}}"
    return Formula(text, latex)


def _worth(weight: float, by_value: bool, index: str = "") -> Formula:
    """Return w or w·v; a negative weight in brackets, so that it can follow a plus."""
    w = number(weight)
    text, latex = (f"({w.text})", f"({w.latex})") if weight < 0 else w
    if by_value:
        return Formula(f"{text}·v{index}", rf"{latex} \, v" + ("_j" if index else ""))
    return Formula(text, latex)


def constraints(spec: ProblemSpec) -> FormulationSection:
    """Return the constraint set: the items that may be shown, and the limits of a policy."""
    k, rules = spec.placement.k, list(_candidate_rules(spec))
    conditions = [rule for rule, _ in rules]
    allowed = Formula(
        "A(u, t) = { i ∈ I" + "".join(f", {rule.text}" for rule in conditions) + " }",
        r"A(u, t) = \{ i \in I" + "".join(rf",\ {rule.latex}" for rule in conditions) + r" \}",
    )
    return FormulationSection(
        "Constraint set",
        (
            Formula(
                f"Π = {{ π : a ⊆ A(u, t), |a| = min({k}, |A(u, t)|), no item twice }}",
                rf"\Pi = \{{ \pi : a \subseteq A(u, t),\ |a| = \min({k}, |A(u, t)|),"
                r"\ \mathrm{no\ item\ twice} \}",
            ),
            allowed,
            *(_limit(guardrail, k) for guardrail in spec.guardrails),
            *(_slice_limit(spec, part, limit) for part, limit in spec.slices.max_loss.items()),
        ),
        (
            "I: the items that are known at time t.",
            *(remark for _, remark in rules),
        ),
    )


def _candidate_rules(spec: ProblemSpec) -> Iterator[tuple[Formula, str]]:
    rules = spec.candidates
    if not rules.repeats:
        yield Formula("i ∉ H(u, t)", r"i \notin H(u, t)"), "H(u, t): the items that the user already had."
    if rules.available_days is not None:
        days = rules.available_days
        yield (
            Formula(f"t − τ(i) ≤ {days} d", rf"t - \tau(i) \leq {days}\,\mathrm{{d}}"),
            "τ(i): the item's latest event; items without one for longer are unavailable.",
        )
    if rules.blocked_categories:
        blocked = set_of(rules.blocked_categories)
        yield (
            Formula(f"c(i) ∉ {blocked.text}", rf"c(i) \notin {blocked.latex}"),
            "c(i): the item's category.",
        )
    if rules.blocked_items:
        blocked = set_of(rules.blocked_items)
        yield (
            Formula(f"i ∉ {blocked.text}", rf"i \notin {blocked.latex}"),
            "Blocked items are excluded by id.",
        )


def _limit(guardrail: Guardrail, k: int) -> Formula:
    word = name(f"{guardrail.metric}@{k}")
    text, latex = f"{word.text}(π)", rf"{word.latex}(\pi)"
    if guardrail.at_least is not None:
        low = number(guardrail.at_least)
        text, latex = f"{low.text} ≤ {text}", rf"{low.latex} \leq {latex}"
    if guardrail.at_most is not None:
        high = number(guardrail.at_most)
        text, latex = f"{text} ≤ {high.text}", rf"{latex} \leq {high.latex}"
    return Formula(text, latex)


def _slice_limit(spec: ProblemSpec, part: str, limit: float) -> Formula:
    metric, baseline = name(f"{spec.metric}@{spec.placement.k}"), name(spec.baseline)
    where, loss = name(part), number(limit)
    return Formula(
        f"{metric.text}(π | {where.text}) ≥ {metric.text}({baseline.text} | {where.text}) − {loss.text}",
        rf"{metric.latex}(\pi \mid {where.latex}) \geq "
        rf"{metric.latex}({baseline.latex} \mid {where.latex}) - {loss.latex}",
    )


def split(spec: ProblemSpec) -> FormulationSection:
    """Return the training events and the test events."""
    horizon, window = spec.split.test_days, spec.split.train_days
    start = (
        Formula("", "")
        if window is None
        else Formula(f"T − {window} d ≤ ", rf"T - {window}\,\mathrm{{d}} \leq ")
    )
    return FormulationSection(
        "Split",
        (
            Formula(f"D₀ = {{ j : {start.text}tⱼ < T }}", rf"D_0 = \{{ j : {start.latex}t_j < T \}}"),
            Formula(
                f"D₁ = {{ j : T ≤ tⱼ < T + H }},  H = {horizon} d",
                rf"D_1 = \{{ j : T \leq t_j < T + H \}},\quad H = {horizon}\,\mathrm{{d}}",
            ),
        ),
        (
            "D₀: the training events; D₁: the test events; tⱼ: the time of event j.",
            "T is the same for all users, H before the data ends: models learn nothing from the future.",
        ),
    )


def estimator(spec: ProblemSpec) -> FormulationSection:
    """Return the estimator that the leaderboard shows, and its assumptions."""
    k, metric = spec.placement.k, METRICS[spec.metric]
    label = name(metric.text.partition("(")[0].replace("{k}", str(k)))
    baseline = name(spec.baseline)
    return FormulationSection(
        "Estimator",
        (
            Formula(
                "V̂(π) = 1/|U| · Σ_{u ∈ U} " + f"{label.text}(π(u, T), R(u))",
                r"\hat{V}(\pi) = \frac{1}{|U|} \sum_{u \in U} " + rf"{label.latex}(\pi(u, T), R(u))",
            ),
            Formula(metric.text.replace("{k}", str(k)), metric.latex.replace("{k}", str(k))),
            Formula(
                "R(u) = { i ∈ A(u, T) : ρ(u, i) > 0 },  U = { u : R(u) ≠ ∅ }",
                r"R(u) = \{ i \in A(u, T) : \rho(u, i) > 0 \},\quad U = \{ u : R(u) \neq \emptyset \}",
            ),
            Formula("ρ(u, i) = Σ_{j ∈ D₁: u, i} w(j)", r"\rho(u, i) = \sum_{j \in D_1(u, i)} w(j)"),
            *_weights(spec),
            Formula(
                f"Δ̂ = V̂(π) − V̂({baseline.text})",
                rf"\hat{{\Delta}} = \hat{{V}}(\pi) - \hat{{V}}({baseline.latex})",
            ),
        ),
        (
            "V̂ and Δ̂ (paired by user) each come with a 95 % interval from a bootstrap over users.",
            "V̂ orders policies as V does if users would choose from our list what they chose in D₁ without "
            "it, if users and tastes do not change after D₁, and if one user's list does not change "
            "another's events.",
            "Past events have no impression: window and discount can't be applied to them, and items that a "
            "user never saw count as irrelevant, which favours what the shop already showed. "
            "Only an experiment measures V.",
        ),
    )


def _weights(spec: ProblemSpec) -> Iterator[Formula]:
    """Yield w(j) by event type, summed over the objectives."""
    parts: dict[str, dict[bool, float]] = {}
    for one in spec.objectives:
        for event_type, event in one.events.items():
            sums = parts.setdefault(event_type, {})
            sums[event.by_value] = sums.get(event.by_value, 0.0) + one.share * event.weight
    for event_type, sums in parts.items():
        worth = sum_of([_worth(weight, by_value, "ⱼ") for by_value, weight in sums.items()])
        kind = name(event_type)
        yield Formula(f"w({kind.text}) = {worth.text}", rf"w({kind.latex}) = {worth.latex}")
