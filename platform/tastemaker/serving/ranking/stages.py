"""What the stages of `pipeline` hand on, and how a batch survives a plugin that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tastemaker.api.schemas import Request
from tastemaker.event_log.records import Item, Stage
from tastemaker.plugins import Batch, Ranking
from tastemaker.serving.ranking.sound_rows import Row

if TYPE_CHECKING:
    from tastemaker.serving.ranking.pipeline import Pipeline

MODEL_FAILS = "the model fails; lists are answered without it"


class RequestAbandoned(BaseException):
    """Raised by `batcher` inside a plugin that hangs. A plugin's own `except Exception` does not catch it."""


class RankedList(NamedTuple):
    """One finished list: its items by number, best first, then perhaps a new one, which has no number."""

    items: list[int]
    scores: list[float]
    propensities: list[float]
    stage: Stage
    """What the list begins with."""
    reason: str | None
    """Why the list, or a part of it, is not the model's."""
    new: Item | None = None
    filled: Sequence[tuple[Stage, int]] = ()
    """How many of the items, after the model's, each further stage gave."""

    def without_last(self, k: int) -> RankedList:
        """Return the list with at most k - 1 items: a full one gives up its last item."""
        kept, filled = slice(k - 1), self.filled
        if filled and len(self.items) >= k:
            stage, n = filled[-1]
            filled = [*filled[:-1], (stage, n - 1)] if n > 1 else filled[:-1]
        return self._replace(
            items=self.items[kept],
            scores=self.scores[kept],
            propensities=self.propensities[kept],
            filled=filled,
        )


Scorer: TypeAlias = Callable[[Batch, int], Ranking]
FillGap: TypeAlias = Callable[[Row | None, Batch, int, int], RankedList]
"""(the model's row or None where it failed, the batch, the row's number in it, k) -> the full list."""


@dataclass(slots=True)
class RankedBatch:
    """A batch on its way through the stages: each reads what the ones before it wrote."""

    requests: Sequence[Request]
    batch: Batch
    fill_gap: FillGap
    mmr_lambda: float
    """λ of the stage `diversity`; 0 leaves the model's order."""
    scorer: Scorer = field(init=False)
    ranking: Ranking = field(init=False)
    rows: Sequence[Row | None] = field(init=False)
    """What may be shown of the model's ranking; None for each row without it."""
    lists: list[RankedList] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [None] * len(self.requests)

    @property
    def k(self) -> int:
        """The length of each list."""
        return self.requests[0].k

    def part(self, rows: slice) -> RankedBatch:
        """Return some of the rows, before any stage that scores."""
        return replace(self, requests=self.requests[rows], batch=self.batch[rows])


RankingStage: TypeAlias = "Callable[[Pipeline, RankedBatch], None]"
Stages: TypeAlias = tuple[RankingStage, ...]


def isolate_failures(*stages: RankingStage) -> RankingStage:
    """Return one stage that runs these, and gives up only the rows at which they fail.

    Where they raise, each half of the batch is tried alone, down to single rows: log2(n) more calls per row
    that fails, and none while nothing does.
    """

    def isolated(pipeline: Pipeline, ranked: RankedBatch) -> None:
        try:
            for stage in stages:
                stage(pipeline, ranked)
        except RequestAbandoned:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too; the caller gets a list
            pipeline.failures.failed(MODEL_FAILS, detail=error, error=error)
            n = len(ranked.requests)
            if n == 1:
                return
            halves = [ranked.part(slice(0, n // 2)), ranked.part(slice(n // 2, n))]
            for half in halves:
                isolated(pipeline, half)
            ranked.rows = [row for half in halves for row in half.rows]
        else:
            pipeline.failures.succeeded()

    return isolated
