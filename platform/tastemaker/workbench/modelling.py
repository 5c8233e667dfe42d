"""`split` and `fit`: training window and test period, and a model that learned from the one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
from markupsafe import Markup
from pydantic import ValidationError

from tastemaker.data.split import Split
from tastemaker.errors import PluginError, TastemakerError
from tastemaker.evaluation import backtest, wording
from tastemaker.evaluation.answers import check
from tastemaker.evaluation.judge import user_features, user_keys
from tastemaker.plugins import NO_ITEM, Config, Recommender, calls, finder
from tastemaker.plugins.arrays import Int64
from tastemaker.problem import ProblemSpec
from tastemaker.settings import described
from tastemaker.workbench.loading import Data
from tastemaker.workbench.showing import Shown, days, timeline

AnyModel = Recommender[Any]
Kind = TypeVar("Kind")
SESSION = "this session"
"""Where a class is \"installed\" that a notebook or a script wrote."""


@dataclass(frozen=True, eq=False, repr=False)
class Parts(Shown):
    """What models learn from and what they are judged by: before and after one moment, for all users."""

    problem: ProblemSpec
    split: Split
    times: Int64
    """int64[events]: when each counted event of both parts happened."""

    @property
    def title(self) -> str:
        learned, judged = len(self.split.train.events), len(self.split.users)
        return f"{learned:,} events to learn from, {judged:,} users to judge by"

    def facts(self) -> dict[str, str]:
        split = self.split
        strangers = int(np.count_nonzero(split.users < 0))
        return {
            "training window": days(split.start, split.cut),
            "test period": days(split.cut, split.end),
            "users to judge by": f"{len(split.users):,}, of whom training does not know {strangers:,}",
            "not judged": f"{split.unjudged:,} users to whom no list could be right",
            "out of reach": f"{split.unreachable:,} rewarded events with items new since, or not to be shown",
        }

    def drawing(self) -> Markup:
        return timeline(self.times, self.split.start, self.split.cut, self.split.end)


def split(data: Data, *, test_days: int | None = None, until: date | str | None = None) -> Parts:
    """Learn before, judge after: the last `test_days` days (else the problem's) are the test period.

    `until` is the last day that counts, such as "2024-03-31"; by default, the data's last day. Raises
    SourceError where one of the two is empty, and where a few late events have moved the test period away
    from the others.
    """
    dataset = expect(data, Data, "split", "load").dataset
    given = {"test_days": test_days, "until": until}
    if changed := {name: value for name, value in given.items() if value is not None}:
        dataset = dataset.posed(_with_split(dataset.problem, changed))
    return Parts(dataset.problem, dataset.split(), dataset.events.times)


def _with_split(problem: ProblemSpec, changed: dict[str, Any]) -> ProblemSpec:
    fields = problem.model_dump()
    try:
        return ProblemSpec.model_validate(fields | {"split": fields["split"] | changed})
    except ValidationError as error:
        raise TastemakerError(
            f"this is not a test period: {described(error)}",
            fix='give whole days, such as test_days=14, and a date, such as until="2024-03-31"',
        ) from error


@dataclass(frozen=True, eq=False, repr=False)
class Fitted(Shown):
    """A model that learned from the training window of its `parts`."""

    fit: backtest.Fitted
    parts: Parts

    @property
    def model(self) -> AnyModel:
        """The model itself."""
        return self.fit.model

    @property
    def name(self) -> str:
        """The model's."""
        return self.fit.plugin.name

    @property
    def title(self) -> str:
        return f"{self.name}, fitted in {wording.seconds(self.fit.seconds)}"

    def facts(self) -> dict[str, str]:
        split = self.parts.split
        facts = {name: str(value) for name, value in self.fit.config.model_dump(mode="json").items()}
        source = getattr(self.model, "reference", "none given")
        return {**facts, "learned from": days(split.start, split.cut), "reference": source}

    def recommend(self, user_id: str, k: int | None = None) -> list[str]:
        """The items that it would show to a user at the end of the training window, best first."""
        split = self.parts.split
        users = split.snapshot.user_ids.lookup([user_id])
        features = user_features(self.model, split)
        batch = split.snapshot.batch(
            users,
            seeds=user_keys([user_id]),
            capabilities=self.model.capabilities,
            user_features=None if features is None else features[users],
        )
        k = self.parts.problem.placement.k if k is None else k
        ranking = calls.recommend(self.model, batch, k)
        check(self.model.name, ranking, batch, k)
        return split.snapshot.item_ids.decode(ranking.items[ranking.items != NO_ITEM])


def fit(model: str | AnyModel | type[AnyModel], parts: Parts, **hyperparameters: Any) -> Fitted:
    """A model that learned from the training window.

    `model` is an installed model's name, or a class (or an instance) of one's own, such as one written in a
    cell. `hyperparameters` are those of its config class, and anything for a class that has none yet.
    Raises PluginError for an unknown model or a wrong hyperparameter, and where the model itself fails.
    """
    expect(parts, Parts, "fit", "split")
    plugin = finder.get(model) if isinstance(model, str) else _of_session(model)
    given = model.config.model_dump() if isinstance(model, Recommender) else {}
    config = configured(plugin.recommender, given | hyperparameters)
    fitted = Fitted(backtest.Fitted(plugin, config, parts.split), parts)
    _ = fitted.model  # the first time that it is asked for is when it learns
    return fitted


def _of_session(model: Any) -> finder.Plugin:
    """A class, or an instance's class, as if it were installed. Raises PluginError saying what it lacks."""
    kind = model if isinstance(model, type) else type(model)
    if not issubclass(kind, Recommender):
        raise PluginError(
            f"{kind.__name__} is no model",
            fix="derive it from tastemaker.Recommender, or name an installed one",
        )
    missing = [] if isinstance(getattr(kind, "name", None), str) else ["name"]
    missing += sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"the class {kind.__name__} lacks: {', '.join(missing)}", fix="add it to the class")
    if kind.__init__ is not Recommender.__init__:
        raise PluginError(
            f"{kind.__name__} has an __init__ of its own, but a model is made from its config alone",
            fix=f"remove it, and read self.config: {kind.__name__}(days=7).config.days is 7",
        )
    return finder.Plugin(kind.name, kind, SESSION, "0", f"{kind.__module__}:{kind.__qualname__}")


def configured(model: type[AnyModel], given: Mapping[str, Any]) -> Config:
    """A model's config. Raises PluginError naming every hyperparameter that is wrong, and those there are."""
    try:
        return model.config_type(**given)
    except ValidationError as error:
        known = ", ".join(
            f"{name}={field.default!r}" for name, field in model.config_type.model_fields.items()
        )
        raise PluginError(
            f"the hyperparameters of {model.name} are wrong:\n    {described(error)}",
            fix=f"they are, with their defaults: {known or 'none'}",
        ) from error


def expect(given: object, kind: type[Kind], asker: str, maker: str) -> Kind:
    """`given`, if it is what it must be. Raises TastemakerError saying where to get one."""
    if not isinstance(given, kind):
        raise TastemakerError(
            f"{asker} was given a {type(given).__name__}, needs what `{maker}` returned",
            fix=f"call {maker} first and hand its result to {asker}",
        )
    return given
