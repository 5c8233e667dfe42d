"""Logged bandit feedback as arrays, and an evaluation policy's probabilities on it; both are validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tastemaker.errors import OffPolicyError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MIN_PROPENSITY = 1e-9
"""A uniform policy over a hundred million items has more; a smaller propensity was computed wrongly."""
MAX_POSITIONS = 10_000
MAX_REWARD = 1e15
"""Largest absolute reward: with larger ones, sums of squares and cubes lose their digits."""
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class BanditFeedback:
    """n logged impressions, each with context, position, action, propensity and reward.

    A single impression is a round of its own. The impressions of one list share a round: their rewards are
    added up, and lists, not impressions, are resampled.
    """

    actions: Int64
    """int64[n] in [0, n_actions)."""
    rewards: Float64
    """float64[n]"""
    propensities: Float64
    """float64[n] in [MIN_PROPENSITY, 1]: the probability that the logging policy put this action here."""
    positions: Int64
    """int64[n], from 0."""
    contexts: Float64
    """float64[n, d]; d may be 0."""
    rounds: Int64
    """int64[n] in [0, n_rounds): the list that the impression belongs to."""
    n_actions: int
    """The size of the action set."""
    action_features: Float64
    """float64[n_actions, f]: the features of each action; f may be 0."""

    @classmethod
    def of(
        cls,
        actions: ArrayLike,
        rewards: ArrayLike,
        propensities: ArrayLike,
        *,
        n_actions: int,
        positions: ArrayLike | None = None,
        contexts: ArrayLike | None = None,
        rounds: ArrayLike | None = None,
        action_features: ArrayLike | None = None,
    ) -> BanditFeedback:
        """Make a log from arrays, and validate it.

        Args:
            actions: int[n], the actions shown, each in [0, n_actions).
            rewards: float[n].
            propensities: float[n], the probability of the action at its position, in (0, 1].
            n_actions: The size of the action set.
            positions: int[n], from 0; None if all are 0.
            contexts: float[n, d]; None for no context.
            rounds: [n], any key of the list of each impression; None if each impression is a round.
            action_features: float[n_actions, f]; None for no features.

        Returns:
            The log, with the rows in the same order and the rounds numbered from 0.

        Raises:
            OffPolicyError: A value is invalid; the message names the first such row.
        """
        taken = _whole("actions", actions)
        n = len(taken)
        if not n:
            raise OffPolicyError("the log is empty", fix="log at least a few thousand randomized impressions")
        places = np.zeros(n, np.int64) if positions is None else _whole("positions", positions)
        lists = np.arange(n) if rounds is None else np.unique(np.asarray(rounds), return_inverse=True)[1]
        known = np.empty((n, 0)) if contexts is None else _numbers("contexts", contexts, ndim=2)
        of_actions = (
            np.empty((n_actions, 0))
            if action_features is None
            else _numbers("action_features", action_features, ndim=2)
        )
        log = cls(
            actions=taken,
            rewards=_numbers("rewards", rewards),
            propensities=_numbers("propensities", propensities),
            positions=places,
            contexts=known,
            rounds=lists.astype(np.int64),
            n_actions=n_actions,
            action_features=of_actions,
        )
        log._check()
        return log

    def _check(self) -> None:
        for name in ("rewards", "propensities", "positions", "contexts", "rounds"):
            if (length := len(getattr(self, name))) != len(self):
                raise OffPolicyError(
                    f"{name} has {length:,} rows, actions has {len(self):,}",
                    fix="pass one row per impression",
                )
        if len(self.action_features) != self.n_actions:
            raise OffPolicyError(
                f"action_features has {len(self.action_features):,} rows, there are {self.n_actions} actions",
                fix="pass one row per action",
            )
        _refuse(
            "propensities",
            self.propensities,
            ~((self.propensities > 0) & (self.propensities <= 1)),
            "above 0 and at most 1",
            _LOG_PROPENSITY,
        )
        rare = self.propensities < MIN_PROPENSITY
        _refuse("propensities", self.propensities, rare, f"at least {MIN_PROPENSITY:g}", _LOG_PROPENSITY)
        large = np.abs(self.rewards) > MAX_REWARD
        _refuse("rewards", self.rewards, large, f"at most {MAX_REWARD:g} in size", "take a larger unit")
        outside = (self.actions < 0) | (self.actions >= self.n_actions)
        _refuse("actions", self.actions, outside, f"in [0, {self.n_actions})", "pass n_actions of the log")
        _refuse("positions", self.positions, self.positions < 0, "at least 0", "count positions from 0")
        far = self.positions >= MAX_POSITIONS
        _refuse("positions", self.positions, far, f"below {MAX_POSITIONS}", "pass positions of a list")
        self._refuse_duplicates()

    def _refuse_duplicates(self) -> None:
        """Raise OffPolicyError for duplicated rows, whose reward would count twice."""
        places = self.rounds * self.n_positions + self.positions
        order = np.argsort(places, kind="stable")
        again = np.flatnonzero(np.diff(places[order]) == 0)
        if len(again):
            first, second = order[again[0]], order[again[0] + 1]
            raise OffPolicyError(
                f"rows {first} and {second} are the same round's position {self.positions[first]}, which "
                f"shows one action ({len(again):,} such rows)",
                fix="leave out duplicated rows; give each list a round of its own",
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def n_rounds(self) -> int:
        """Number of lists."""
        return int(self.rounds.max()) + 1

    @property
    def n_positions(self) -> int:
        """One more than the greatest position."""
        return int(self.positions.max()) + 1

    def by_round(self, values: Float64) -> Float64:
        """Return float64[n_rounds], the sums over each round of `values`, float64[n]."""
        sums: Float64 = np.bincount(self.rounds, weights=values, minlength=self.n_rounds).astype(np.float64)
        return sums

    def __getitem__(self, rows: NDArray[Any]) -> BanditFeedback:
        """Return the log at a mask or at row numbers, with its rounds renumbered."""
        return BanditFeedback(
            self.actions[rows],
            self.rewards[rows],
            self.propensities[rows],
            self.positions[rows],
            self.contexts[rows],
            np.unique(self.rounds[rows], return_inverse=True)[1].astype(np.int64),
            self.n_actions,
            self.action_features,
        )


class EvaluationPolicy(NamedTuple):
    """Probabilities of the policy to be evaluated on each impression of a log."""

    chosen: Float64
    """float64[n]: π(aᵢ | xᵢ, pᵢ), its probability of the logged action at the logged position."""
    distribution: Float64 | None = None
    """float64[n, n_actions]: π(· | xᵢ, pᵢ). Direct method and doubly robust estimators need it, or draws."""
    drawn: Int64 | None = None
    """int64[n, draws]: actions drawn from π(· | xᵢ, pᵢ), for a policy that can be sampled but whose
    distribution is unknown or too large for a table; -1 where it shows no action."""

    def support(self, n_actions: int) -> tuple[Int64, Float64] | None:
        """Return the actions that the policy may show, and their probabilities.

        Returns:
            int64[n, c], the actions, -1 for none, and float64[n, c], their probabilities; None if only the
            probabilities of the logged actions are known.
        """
        if self.distribution is not None:
            return np.broadcast_to(np.arange(n_actions), self.distribution.shape), self.distribution
        if self.drawn is not None:
            return self.drawn, np.where(self.drawn >= 0, 1 / self.drawn.shape[1], 0.0)
        return None

    @classmethod
    def of(cls, log: BanditFeedback, distribution: ArrayLike) -> EvaluationPolicy:
        """Make a policy from its distribution over the actions at each row's position.

        Args:
            log: The log of n impressions.
            distribution: float[n, n_actions], whose rows sum to 1.

        Returns:
            A policy with its distribution, by which every estimator can be computed.

        Raises:
            OffPolicyError: The shape is wrong, or a row is not a distribution.
        """
        table = _numbers("distribution", distribution, ndim=2)
        if table.shape != (len(log), log.n_actions):
            raise OffPolicyError(
                f"distribution has shape {table.shape}, must be {(len(log), log.n_actions)}",
                fix="pass one row per impression and one column per action",
            )
        sums = table.sum(axis=1)
        sound = (table >= 0).all(axis=1) & (abs(sums - 1) <= _SUM_TOLERANCE)
        _refuse("row sums of the distribution", sums, ~sound, "1 of no negative part", "normalize each row")
        return cls(table[np.arange(len(log)), log.actions], table)

    @classmethod
    def by_position(cls, log: BanditFeedback, table: ArrayLike) -> EvaluationPolicy:
        """Make a policy that depends on the position, but not on the context.

        Args:
            log: The log of n impressions.
            table: float[n_actions, n_positions], whose columns sum to 1: see `open_bandit.thompson_sampling`.

        Returns:
            A policy with its distribution at the position of each impression.

        Raises:
            OffPolicyError: The table lacks a position or an action of the log, or a column is not a
                distribution.
        """
        chances = _numbers("table", table, ndim=2)
        unknown = log.positions >= chances.shape[1]
        limit = f"below {chances.shape[1]}, the columns of the table"
        _refuse("positions", log.positions, unknown, limit, "pass a column for each position of the log")
        return cls.of(log, chances.T[log.positions])

    @classmethod
    def of_logged_actions(
        cls, log: BanditFeedback, chosen: ArrayLike, drawn: Int64 | None = None
    ) -> EvaluationPolicy:
        """Make a policy of which only the probabilities of the logged actions are known.

        Args:
            log: The log of n impressions.
            chosen: float[n], the policy's probability of each logged action.
            drawn: int64[n, draws], actions drawn from the policy; None for no draws.

        Returns:
            A policy without a distribution. With draws, reward models can be used.

        Raises:
            OffPolicyError: The length is wrong, or a value is not a probability or an action.
        """
        values = _numbers("chosen", chosen)
        if len(values) != len(log):
            raise OffPolicyError(
                f"chosen has {len(values):,} rows, the log has {len(log):,}", fix="pass one per impression"
            )
        _refuse("chosen", values, (values < 0) | (values > 1), "in [0, 1]", "pass probabilities")
        if drawn is not None and (len(drawn) != len(log) or drawn.min() < -1 or drawn.max() >= log.n_actions):
            raise OffPolicyError(
                f"drawn has {len(drawn):,} rows of actions in [{drawn.min()}, {drawn.max()}]",
                fix=f"pass {len(log):,} rows of actions in [-1, {log.n_actions})",
            )
        return cls(values, None, drawn)


_LOG_PROPENSITY = "log the probability with which the action shown was drawn, when it is drawn"


def _numbers(name: str, values: ArrayLike, *, ndim: int = 1) -> Float64:
    found = np.asarray(values, np.float64)
    if found.ndim != ndim:
        raise OffPolicyError(f"{name} has {found.ndim} dimensions, must have {ndim}")
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(found))
    wrong = np.asarray(~finite if ndim == 1 else ~finite.all(axis=1))
    _refuse(name, found, wrong, "a finite number", "leave such rows out, and find out what wrote them")
    return found


def _whole(name: str, values: ArrayLike) -> Int64:
    found = _numbers(name, values)
    _refuse(name, found, found != np.floor(found), "a whole number", "number the actions and positions")
    return found.astype(np.int64)


def _refuse(name: str, values: NDArray[Any], wrong: NDArray[np.bool_], limit: str, fix: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise OffPolicyError(
            f"{name}[{row}] is {values[row]}, must be {limit} ({wrong.sum():,} such rows)", fix=fix
        )
