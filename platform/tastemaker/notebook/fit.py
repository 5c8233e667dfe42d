"""`split` and `fit`: split data into training window and test period, and fit a model on the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
from markupsafe import Markup
from pydantic import ValidationError

from tastemaker.dataset.split import Split
from tastemaker.errors import PluginError, TastemakerError, in_words
from tastemaker.evaluation import backtest
from tastemaker.evaluation.evaluator import user_features, user_keys
from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.ranking_checks import check
from tastemaker.notebook.display import Displayable, days, timeline
from tastemaker.notebook.load import Data
from tastemaker.plugins import NO_ITEM, Capabilities, Config, Recommender, discovery, safe_calls
from tastemaker.plugins.arrays import Int64
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.canonical_ids import canonical
from tastemaker.snapshot.ids import IdIndex

AnyModel = Recommender[Any]
Kind = TypeVar("Kind")
SESSION = "this session"
"""Distribution of a class that is defined in a notebook or a script."""


@dataclass(frozen=True, eq=False, repr=False)
class SplitParts(Displayable):
    """Training window and test period, with the same cutoff for all users."""

    problem: ProblemSpec
    split: Split
    times: Int64
    """int64[events]: the time of each counted event of both parts, seconds since 1970 UTC."""

    @property
    def title(self) -> str:
        learned, evaluated = len(self.split.train.events), len(self.split.users)
        return f"{learned:,} training events, {evaluated:,} test users"

    def facts(self) -> dict[str, str]:
        split = self.split
        unknown = int(np.count_nonzero(split.users < 0))
        return {
            "training window": days(split.start, split.cut),
            "test period": days(split.cut, split.end),
            "test users": f"{len(split.users):,}, {unknown:,} of them not in the training window",
            "not evaluated": f"{split.unevaluated:,} users without a relevant item that may be shown",
            "out of reach": f"{split.unreachable:,} rewarded events with new items, or items that may not be "
            "shown",
        }

    def drawing(self) -> Markup:
        return timeline(self.times, self.split.start, self.split.cut, self.split.end)


def split(
    data: Data,
    *,
    test_days: int | None = None,
    until: date | str | None = None,
    repeats: bool | None = None,
) -> SplitParts:
    """Split data by time: models are fitted on the earlier part and evaluated on the last days.

    Args:
        data: What `load` returned.
        test_days: The length of the test period; None for the problem's.
        until: The last day of the test period, such as "2024-03-31"; None for the data's last day.
        repeats: Whether a user may be shown items that they already had; None for the problem's. Without
            repeats, only items that are new to a user are relevant.

    Returns:
        The parts, as `fit` takes them. Nothing is fitted yet.

    Raises:
        TastemakerError: An argument is invalid.
        SourceError: One of the parts is empty, or a few late events moved the test period away from the rest.
    """
    dataset = expect(data, Data, "split", "load").dataset
    if not (repeats is None or isinstance(repeats, (bool, np.bool_))):
        raise TastemakerError(
            f"repeats is {repeats!r}, must be True or False", fix="leave it out, or pass one of them"
        )
    given = {"test_days": test_days, "until": until}
    changed = {name: value for name, value in given.items() if value is not None}
    if changed or repeats is not None:
        dataset = dataset.with_problem(_changed(dataset.problem, changed, repeats))
    return SplitParts(dataset.problem, dataset.split(), dataset.events.times)


def _changed(problem: ProblemSpec, changed: dict[str, Any], repeats: bool | None) -> ProblemSpec:
    fields = problem.model_dump()
    fields["split"] |= changed
    if repeats is not None:
        fields["candidates"]["repeats"] = bool(repeats)
    try:
        return ProblemSpec.model_validate(fields)
    except ValidationError as error:
        raise TastemakerError(
            f"the test period is invalid: {in_words(error)}",
            fix='give whole days, such as test_days=14, and a date, such as until="2024-03-31"',
        ) from error


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel(Displayable):
    """Model that was fitted on the training window of its `parts`."""

    fit: backtest.LazyFit
    parts: SplitParts

    @property
    def model(self) -> AnyModel:
        """The model itself."""
        return self.fit.model

    @property
    def name(self) -> str:
        """The model's name."""
        return self.fit.plugin.name

    @property
    def title(self) -> str:
        return f"{self.name}, fitted in {formatting.seconds(self.fit.seconds)}"

    def facts(self) -> dict[str, str]:
        split = self.parts.split
        facts = {name: str(value) for name, value in self.fit.config.model_dump(mode="json").items()}
        source = getattr(self.model, "reference", "none given")
        return {**facts, "fitted on": days(split.start, split.cut), "reference": source}

    def recommend(self, user_id: str | int, k: int | None = None) -> list[str]:
        """Return the items that the model would show to a user at the end of the training window.

        Args:
            user_id: The user; a whole number is the id with these digits. An unknown user gets the list of
                unknown users.
            k: The length of the list; None for the problem's.

        Returns:
            Item ids, best first; fewer than `k` if fewer may be shown.

        Raises:
            TastemakerError: The id or `k` is invalid.
            PluginError: The model fails.
        """
        split = self.parts.split
        user_id = _id(user_id, split.snapshot.user_ids)
        k = self.parts.problem.placement.k if k is None else _length(k)
        users = split.snapshot.user_ids.lookup([user_id])
        features = user_features(self.model, split)
        batch = split.snapshot.batch(
            users,
            seeds=user_keys([user_id]),
            capabilities=self.model.capabilities,
            user_features=None if features is None else features[users],
        )
        ranking = safe_calls.recommend(self.model, batch, k)
        check(self.model, ranking, batch, k)
        return split.snapshot.item_ids.decode(ranking.items[ranking.items != NO_ITEM])


def fit(model: str | AnyModel | type[AnyModel], parts: SplitParts, **hyperparameters: Any) -> FittedModel:
    """Fit a model on the training window.

    Args:
        model: An installed model's name, or a class or an instance, such as one that is defined in a cell.
        parts: What `split` returned.
        hyperparameters: Fields of the model's config class.

    Returns:
        The fitted model with its parts, as `evaluate` takes it.

    Raises:
        PluginError: The model is unknown, a hyperparameter is wrong, or the model fails.
    """
    expect(parts, SplitParts, "fit", "split")
    plugin = discovery.get(model) if isinstance(model, str) else _of_session(model)
    given = model.config.model_dump() if isinstance(model, Recommender) else {}
    config = configured(plugin.recommender, given | hyperparameters)
    fitted = FittedModel(backtest.LazyFit(plugin, config, parts.split), parts)
    _ = fitted.model  # the fit runs at the first access
    return fitted


def _of_session(model: Any) -> discovery.Plugin:
    """Return a class, or an instance's class, as a plugin. Raises PluginError with what it lacks."""
    kind = model if isinstance(model, type) else type(model)
    if not issubclass(kind, Recommender):
        raise PluginError(
            f"{kind.__name__} is not a model",
            fix="derive it from tastemaker.Recommender, or name an installed model",
        )
    missing = [] if isinstance(getattr(kind, "name", None), str) else ["name"]
    missing += sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"the class {kind.__name__} lacks: {', '.join(missing)}", fix="add it to the class")
    if not isinstance(kind.capabilities, Capabilities):
        raise PluginError(
            f"capabilities of the class {kind.__name__} are {kind.capabilities!r}, must be Capabilities",
            fix="write capabilities = Capabilities(personalizes=True), or leave them out",
        )
    if not (isinstance(kind.config_type, type) and issubclass(kind.config_type, Config)):
        raise PluginError(
            f"config_type of the class {kind.__name__} is {kind.config_type!r}, must be a class of Config",
            fix="derive it from tastemaker.plugins.Config, or leave it out",
        )
    if kind.__init__ is not Recommender.__init__:
        raise PluginError(
            f"{kind.__name__} has an __init__ of its own, but models are created from their config only",
            fix=f"remove it, and read self.config: {kind.__name__}(days=7).config.days is 7",
        )
    return discovery.Plugin(kind.name, kind, SESSION, "0", f"{kind.__module__}:{kind.__qualname__}")


def configured(model: type[AnyModel], given: Mapping[str, Any]) -> Config:
    """Return a model's config.

    Args:
        model: The model's class, which names the config's class.
        given: Hyperparameters by name; the others have their defaults.

    Raises:
        PluginError: A hyperparameter is wrong; the message names all that are, and those that exist.
    """
    try:
        return model.config_type(**given)
    except ValidationError as error:
        known = ", ".join(
            f"{name}={field.default!r}" for name, field in model.config_type.model_fields.items()
        )
        raise PluginError(
            f"the hyperparameters of {model.name} are wrong:\n    {in_words(error)}",
            fix=f"they are, with their defaults: {known or 'none'}",
        ) from error


def _id(given: object, known: IdIndex) -> str:
    """Return an id as the tables have it. Raises TastemakerError if it is invalid."""
    if isinstance(given, str) and known.lookup([given])[0] >= 0:
        return str(given)
    number = isinstance(given, (int, np.integer)) and not isinstance(given, (bool, np.bool_))
    whole = isinstance(given, (float, np.floating)) and float(given).is_integer()
    if number or whole:
        return str(int(given))  # type: ignore[call-overload]
    if isinstance(given, str) and (found := canonical(given)):
        return found
    several = isinstance(given, (list, tuple, set, np.ndarray)) or hasattr(given, "tolist")
    raise TastemakerError(
        f"user_id is {' '.join(repr(given).split())[:80]}, must be text or a whole number",
        fix="ask for one user per call: [model.recommend(user) for user in users]"
        if several
        else 'write the id as it is in the data, such as "17850" or 17850',
    )


def _length(given: object) -> int:
    """Return the length of a list. Raises TastemakerError unless it is a whole number of at least 1."""
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool) and given >= 1:
        return int(given)
    raise TastemakerError(f"k is {given!r}, must be a whole number, at least 1", fix="such as k=10")


def expect(given: object, kind: type[Kind], asker: str, maker: str) -> Kind:
    """Return `given` if it has the right type.

    Args:
        given: What a user passed.
        kind: The type that it must have.
        asker: The function that it was passed to.
        maker: The function that returns this type.

    Raises:
        TastemakerError: It has another type.
    """
    if not isinstance(given, kind):
        raise TastemakerError(
            f"{asker} was given a {type(given).__name__}, needs what `{maker}` returned",
            fix=f"call {maker} first and pass its result to {asker}",
        )
    return given
