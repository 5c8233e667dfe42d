"""A digest from the metadata database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine

from tastemaker.digest import events
from tastemaker.digest.comparison import WeekComparison, estimate_cell
from tastemaker.digest.document import Digest, DigestSection, DigestTable, DigestText
from tastemaker.digest.figures import FigureKey, WeekEstimate, read_figures
from tastemaker.digest.week import ShopWeek
from tastemaker.notifications.message_text import one_line, shortened
from tastemaker.product import definitions
from tastemaker.storage.tables import OWN_SOURCE

OF_MODELS = ("ctr_list", "reward_per_request", "fallback_share")
NOW, LAST, BEFORE = "now", "last", "before"
"""The week, the week before, and the 28 days before the week."""
SAME = {LAST: "as last week", BEFORE: "as before"}
MODELS = 20
"""The most models that are listed."""
NAME_CHARACTERS = 80
CHANCE = (
    "A figure is as before where the 95 % interval of the difference includes 0. Of 20 figures that did not "
    "change, one may look changed by chance."
)


class ModelWeek(NamedTuple):
    """A model's figures, each beside last week's and the four weeks before."""

    name: str
    rows: Mapping[str, tuple[WeekComparison, WeekComparison]]
    """Metric -> comparison with last week, and with the four weeks before."""

    @property
    def is_served(self) -> bool:
        """Whether it has a figure of this week."""
        return any(last.now is not None for last, _ in self.rows.values())


def write_digest(engine: Engine, problem: str, week: ShopWeek, now: datetime) -> Digest:
    """Return the digest of a week.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        week: A week that is over.
        now: When the digest is made.
    """
    models = _models(engine, problem, week)
    users = _users(engine, problem, week)
    happened = (
        events.alerts(engine, week),
        events.data_trouble(engine, week),
        events.changes(engine, problem, week),
    )
    attention = [*_worse(models, users), *(line for one in happened for line in one.attention)]
    alerts, data, changed = (one.section for one in happened)
    return Digest(
        problem=problem,
        week=week.name,
        title=f"{_name(problem)}: {week.title}",
        answer=_answer(models, users),
        sections=(
            _attention(attention),
            _models_section(models),
            _users_section(users),
            alerts,
            data,
            changed,
        ),
        created_at=now,
    )


def _models(engine: Engine, problem: str, week: ShopWeek) -> list[ModelWeek]:
    windows = {
        NOW: (week.start, week.end),
        LAST: (week.earlier(1).start, week.start),
        BEFORE: (week.earlier(4).start, week.start),
    }
    found = read_figures(engine, problem, OF_MODELS, windows)
    keys = sorted({(key.source, key.model) for key in found if key.model}, key=_own_first)
    return [
        ModelWeek(
            _name(model if source == OWN_SOURCE else f"{model} (reported by {source})"),
            {metric: _compared(found, source, model, metric) for metric in OF_MODELS},
        )
        for source, model in keys
    ]


def _own_first(key: tuple[str, str]) -> tuple[bool, str, str]:
    return key[0] != OWN_SOURCE, *key


def _compared(
    found: Mapping[FigureKey, WeekEstimate], source: str, model: str, metric: str
) -> tuple[WeekComparison, WeekComparison]:
    definition = definitions.get(metric)
    now, last, before = (
        found.get(FigureKey(source, model, metric, window)) for window in (NOW, LAST, BEFORE)
    )
    return WeekComparison(definition, now, last), WeekComparison(definition, now, before)


def _users(engine: Engine, problem: str, week: ShopWeek) -> dict[str, WeekComparison]:
    """Return the whole shop's figures beside last week's.

    Churn is over the 28 days that end with the week. Retention is that of the users who were new in the week
    before, whose days 1 to 7 are over.
    """
    last = week.earlier(1)
    spans = {
        "wau": ((week.start, week.end), (last.start, last.end)),
        "churn_28": ((week.earlier(3).start, week.end), (last.earlier(3).start, last.end)),
        "retention_days_1_7": ((last.start, last.end), (last.earlier(1).start, last.start)),
    }
    compared = {}
    for metric, (now, earlier) in spans.items():
        found = read_figures(engine, problem, [metric], {NOW: now, LAST: earlier})
        ours = {key.window: one for key, one in found.items() if key[:2] == (OWN_SOURCE, "")}
        compared[metric] = WeekComparison(definitions.get(metric), ours.get(NOW), ours.get(LAST))
    return compared


def _answer(models: Iterable[ModelWeek], users: Mapping[str, WeekComparison]) -> str:
    beside = [last for one in models for last, _ in one.rows.values()] + list(users.values())
    known = [one for one in beside if one.difference is not None]
    changed = [one for one in known if one.has_changed]
    if not any(one.now is not None for one in beside):
        return "There are no figures of this week: nothing was served, or they were not computed."
    if not known:
        return "Nothing can be said about changes yet: no figure can be compared with last week's."
    if not changed:
        return f"As last week: none of {len(known)} compared figures changed beyond chance."
    worse = sum(one.is_worse for one in changed)
    verdict = f"{worse} for the worse" if worse else "none for the worse"
    return f"{len(changed)} of {len(known)} compared figures changed since last week, {verdict}."


def _worse(models: Iterable[ModelWeek], users: Mapping[str, WeekComparison]) -> list[str]:
    """Return what became worse, each figure once."""
    lines = []
    for one in models:
        for last, before in one.rows.values():
            for compared, since in ((last, "last week"), (before, "the four weeks before")):
                if compared.is_worse:
                    lines.append(f"{one.name}: {_changed(compared)} since {since}.")
                    break
    return lines + [f"{_changed(one)} since last week." for one in users.values() if one.is_worse]


def _changed(compared: WeekComparison) -> str:
    return f"{compared.definition.title} is {compared.words('')}"


def _attention(lines: list[str]) -> DigestSection:
    return DigestSection("What to look at", [DigestText(line) for line in lines or ["Nothing."]])


def _models_section(models: list[ModelWeek]) -> DigestSection:
    served = [one for one in models if one.is_served]
    lines = [DigestText(f"{one.name}: {_summary(one)}.") for one in served[:MODELS]]
    gone = [one.name for one in models if not one.is_served]
    lines += [DigestText(f"{name} has no figure of this week.", is_grey=True) for name in gone[:MODELS]]
    if (left := len(models) - len(lines)) > 0:
        lines.append(DigestText(f"{left} more models are not listed.", is_grey=True))
    if not served:
        lines.append(DigestText("No model has a figure of this week.", is_grey=True))
        return DigestSection("Models", lines)
    lines.append(DigestText(CHANCE, is_grey=True))
    rows = tuple(
        (
            DigestText(one.name),
            DigestText(last.definition.title),
            estimate_cell(last.definition, last.now),
            last.cell(SAME[LAST]),
            before.cell(SAME[BEFORE]),
        )
        for one in served[:MODELS]
        for last, before in one.rows.values()
    )
    return DigestSection(
        "Models", lines, DigestTable(("Model", "Figure", "This week", "Last week", "Four weeks before"), rows)
    )


def _summary(one: ModelWeek) -> str:
    """Return how a model did against last week, in one clause."""
    known = [last for last, _ in one.rows.values() if last.difference is not None]
    if not known:
        return "too little data to compare it with last week"
    changed = [_changed(last) for last in known if last.has_changed]
    return "; ".join(changed) if changed else SAME[LAST]


def _users_section(users: Mapping[str, WeekComparison]) -> DigestSection:
    if all(one.now is None for one in users.values()):
        none = DigestText("No figure of users of this week.", is_grey=True)
        return DigestSection("Users", [none])
    lines = [
        DigestText(
            "Churn is over the four weeks that end with the week; retention is that of the users who were "
            "new in the week before.",
            is_grey=True,
        )
    ]
    rows = tuple(
        (DigestText(one.definition.title), estimate_cell(one.definition, one.now), one.cell(SAME[LAST]))
        for one in users.values()
    )
    return DigestSection("Users", lines, DigestTable(("Figure", "This week", "Last week"), rows))


def _name(text: str) -> str:
    return shortened(one_line(text), NAME_CHARACTERS)
