"""Settings of alert rules: `[alerts.NAME]` in tastemaker.toml, one section per rule that has a threshold."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

DURATION_BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of the buckets in which a service counts durations, in seconds."""

MIN_DAY_HOURS = 4
"""A day in which alerts call has at least so many hours."""

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
AboveShare = Annotated[
    Share,
    Field(description="Share above which the rule fires. It resolves below 0.8 times this share."),
]
Minimum = Annotated[
    Count, Field(description="Fewest that must be counted in that time for the rule to fire.")
]
Seconds = Annotated[float, Field(gt=0)]


def _bound(seconds: float) -> float:
    if seconds not in DURATION_BOUNDS:
        raise ValueError(f"must be one of {', '.join(map(str, DURATION_BOUNDS))}: durations are counted so")
    return seconds


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class _ShareOfMany(_Rule):
    above: AboveShare
    minimum: Minimum = 20


class FallbackShareAlert(_ShareOfMany):
    """Share of lists that are not the model's, over one minute."""

    above: AboveShare = 0.05


class FallbackShareQuietAlert(_Rule):
    """Share of lists that are not the model's, over 15 minutes, for services with little traffic."""

    above: AboveShare = 0.2
    minimum: Count = 5
    """Fewest lists in 15 minutes that are not the model's for the rule to fire."""


class FallbackBudgetAlert(_Rule):
    """Error budget of lists that are not the model's: a burn rate of 14.4 or 6 pages, 1 opens a ticket."""

    objective: Share = 0.999
    """Share of lists that should be the model's, over 28 days."""


class ErrorsAlert(_ShareOfMany):
    """Share of requests that fail with a 5xx status, over one minute."""

    above: AboveShare = 0.01


class SlowAlert(_ShareOfMany):
    """Share of lists that take too long, over one minute."""

    seconds: Annotated[float, AfterValidator(_bound)] = 0.1
    """Duration above which a list is slow: the bound of a bucket of `tastemaker_request_duration_seconds`."""
    above: AboveShare = 0.01
    minimum: Minimum = 100


class OverloadedAlert(_ShareOfMany):
    """Share of lists that did not wait for the model because too many did, over one minute."""

    above: AboveShare = 0.01


class RequestsRefusedAlert(_ShareOfMany):
    """Share of requests for lists that are refused for their key, host or rate, over five minutes."""

    above: AboveShare = 0.05


class FeedbackRefusedAlert(_ShareOfMany):
    """Share of feedback that is refused with 429 or 503, over five minutes."""

    above: AboveShare = 0.01


class TrafficGoneAlert(_Rule):
    """Requests for lists, compared with the same time a week ago."""

    below: Share = 0.2
    """Share of last week's rate below which the rule fires. It resolves above 1.25 times this share."""
    minimum_per_second: Seconds = 0.1
    """Lowest rate of requests a week ago for the rule to fire."""


class FeedbackGoneAlert(_Rule):
    """Accepted feedback over 30 minutes: the rule fires when there is none."""

    minimum: Count = 1_000
    """Fewest lists in these 30 minutes for the rule to fire."""


class SpoolBacklogAlert(_Rule):
    """How full the log on the local disk is."""

    above: Share = 0.7
    """Share of `log.spool_bytes` above which the rule fires. It resolves below 0.8 times this share."""


class SpoolOldAlert(_Rule):
    """Age of the oldest log record that was not shipped."""

    above_seconds: Seconds = 3_600
    """Age above which the rule fires."""


class LogWritesBehindAlert(_Rule):
    """How full the memory for log records that wait for the disk is."""

    above: Share = 0.5
    """Share of `log.spool_records` above which the rule fires. It resolves below 0.8 times this share."""


class EmptyListsAlert(_ShareOfMany):
    """Share of lists without an item, over one minute. Lists that rank a caller's own items do not count."""

    above: AboveShare = 0.01


class ShortListsAlert(_ShareOfMany):
    """Share of lists that have items, and fewer than were asked for, over 15 minutes."""

    above: AboveShare = 0.1
    minimum: Minimum = 100


class FilledItemsAlert(_ShareOfMany):
    """Share of items in lists that fill gaps that the model left, over 15 minutes."""

    above: AboveShare = 0.1
    minimum: Minimum = 1_000


class QueueChokedAlert(_Rule):
    """How full the queue of requests that wait for the model is, in the worker that has the most."""

    above: AboveShare = 0.8


class FeaturesVanishedAlert(_ShareOfMany):
    """By how much more of all users have no value of a feature than a day ago, over ten minutes."""

    above: AboveShare = 0.2
    minimum: Minimum = 500


class FeaturesInvalidAlert(_ShareOfMany):
    """Share of the values of a feature that are infinite, over 15 minutes."""

    above: AboveShare = 0.01
    minimum: Minimum = 100


NearlyAll = Annotated[
    Share, Field(description="Share above which the rule fires. It resolves below 0.95 times this share.")
]


class MemoryAlert(_Rule):
    """Memory in use, as a share of what the service's container or machine may use."""

    above: NearlyAll = 0.95


class CpuHighAlert(_Rule):
    """Processor time, as a share of what the service may use, or of one processor by one process."""

    above: NearlyAll = 0.95


class CpuIdleAlert(_Rule):
    """Processor time, as a share of what the service may use, of a service that was busy a week ago."""

    below: Share = 0.05
    """Share below which the rule fires. It resolves above 1.25 times this share."""
    busy_above: Share = 0.2
    """Share a week ago above which the service was busy."""


class DiskFillingAlert(_Rule):
    """Free room on the disks of the home folder and of the log."""

    free_below: Share = 0.1
    """Free share below which the rule fires. It resolves above 1.25 times this share."""
    filling_below: Share = 0.4
    """Free share below which it fires if the disk will be full soon."""
    full_within_seconds: Seconds = 14_400
    """How soon, at the speed of the last hour."""


class FeatureStoreAlert(_ShareOfMany):
    """Share of users whose features came too late or not at all, over five minutes."""

    above: AboveShare = 0.05


class LearnerBehindAlert(_Rule):
    """Age of the oldest answer that the served state of a model has not learned."""

    above_seconds: Seconds | None = None
    """Age above which the rule fires; null: twice `learning.feedback_delay_seconds` and five minutes."""


class WorkersRestartAlert(_Rule):
    """Workers that ended and were replaced, over ten minutes."""

    at_least: Count = 3
    """Fewest restarts for the rule to fire."""


class FileDescriptorsAlert(_Rule):
    """Open file descriptors of a process, as a share of its limit."""

    above: AboveShare = 0.9


class ModelStaleAlert(_Rule):
    """Age of the data that a served version was trained on, against its measured loss per week."""

    loss: Share = 0.05
    """Share of the metric whose loss makes a version stale, by its staleness as `tastemaker learning-curve`
    measured it."""


class DriftAlert(_Rule):
    """How long a column of the drift report must have changed."""

    lasting_seconds: Seconds = 90_000
    """Time after which the rule fires: more than a day, so that two nightly reports in a row must agree."""


class QuarantineAlert(_ShareOfMany):
    """Share of the rows of a source's newest day that are in quarantine."""

    above: AboveShare = 0.05
    times_usual: Annotated[float, Field(ge=1)] = 3.0
    """How many times the share of the 28 days before it must be for the rule to fire."""


class DataStaleAlert(_Rule):
    """Age of a source's newest event."""

    above_seconds: Seconds = 36 * 3_600
    """Age above which the rule fires. It resolves below 0.8 times this age."""


class FeatureNullsAlert(_Rule):
    """Share of requests in which a user feature is missing, less the share of the same users in training."""

    above: AboveShare = 0.1


class FeatureSkewAlert(_Rule):
    """Share of logged feature values that differ from those computed again as of then."""

    above: AboveShare = 0.001


class RewardFellAlert(_Rule):
    """Reward per request of the newest day, compared with the 28 days before."""

    below: Share = 0.8
    """Share of the reward of the 28 days below which the whole 95 % interval of the newest day must lie."""


class JobLateAlert(_Rule):
    """Time since a job last succeeded."""

    jobs: Annotated[tuple[str, ...], Field(min_length=1)] = ("everything",)
    """Names of the jobs that must succeed regularly."""
    above_seconds: Seconds = 26 * 3_600
    """Time above which the rule fires."""


class ReportLateAlert(_Rule):
    """Age of the newest health report of a foreign model."""

    above_seconds: Seconds = 300
    """Age above which the rule fires. It resolves below 0.8 times this age."""


class OrchestratorSilentAlert(_Rule):
    """Time since the orchestrator's daemon last reported its queue."""

    above_seconds: Seconds = 600
    """Time above which the rule fires."""


class RunQueueAlert(_Rule):
    """Number of runs that wait to be started, for half an hour."""

    above: Count = 10
    """Number of runs above which the rule fires. It resolves below 0.8 times this number."""


class ExecutorQueueAlert(_Rule):
    """Number of tasks that wait in a queue of Celery's, for a quarter of an hour."""

    above: Count = 100
    """Number of tasks above which the rule fires. It resolves below 0.8 times this number."""


class AlertsSettings(BaseModel):
    """Alert rules: their thresholds, and what their files refer to."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    job: Annotated[str, Field(min_length=1, pattern=r"^[^\"\\\n]+$")] = "tastemaker"
    """The job under which Prometheus scrapes the services."""
    runbooks: str = "docs/how-to/runbooks"
    """Folder or URL of the runbooks, without a slash at the end; alerts link to NAME.md in it."""
    disabled: tuple[str, ...] = ()
    """Names of the rules that are left out."""
    day_start_hour: Annotated[int, Field(ge=0, le=23)] = 7
    """Hour, UTC, from which alerts that can wait until the morning call."""
    day_end_hour: Annotated[int, Field(ge=0, le=23)] = 19
    """Hour, UTC, from which such alerts wait until the morning."""
    fallback_share: FallbackShareAlert = FallbackShareAlert()
    fallback_share_quiet: FallbackShareQuietAlert = FallbackShareQuietAlert()
    fallback_budget: FallbackBudgetAlert = FallbackBudgetAlert()
    errors: ErrorsAlert = ErrorsAlert()
    slow: SlowAlert = SlowAlert()
    overloaded: OverloadedAlert = OverloadedAlert()
    requests_refused: RequestsRefusedAlert = RequestsRefusedAlert()
    feedback_refused: FeedbackRefusedAlert = FeedbackRefusedAlert()
    traffic_gone: TrafficGoneAlert = TrafficGoneAlert()
    feedback_gone: FeedbackGoneAlert = FeedbackGoneAlert()
    spool_backlog: SpoolBacklogAlert = SpoolBacklogAlert()
    spool_old: SpoolOldAlert = SpoolOldAlert()
    log_writes_behind: LogWritesBehindAlert = LogWritesBehindAlert()
    feature_store: FeatureStoreAlert = FeatureStoreAlert()
    learner_behind: LearnerBehindAlert = LearnerBehindAlert()
    workers_restart: WorkersRestartAlert = WorkersRestartAlert()
    file_descriptors: FileDescriptorsAlert = FileDescriptorsAlert()
    empty_lists: EmptyListsAlert = EmptyListsAlert()
    short_lists: ShortListsAlert = ShortListsAlert()
    filled_items: FilledItemsAlert = FilledItemsAlert()
    queue_choked: QueueChokedAlert = QueueChokedAlert()
    features_vanished: FeaturesVanishedAlert = FeaturesVanishedAlert()
    features_invalid: FeaturesInvalidAlert = FeaturesInvalidAlert()
    memory: MemoryAlert = MemoryAlert()
    cpu_high: CpuHighAlert = CpuHighAlert()
    cpu_idle: CpuIdleAlert = CpuIdleAlert()
    disk_filling: DiskFillingAlert = DiskFillingAlert()
    model_stale: ModelStaleAlert = ModelStaleAlert()
    drift: DriftAlert = DriftAlert()
    quarantine: QuarantineAlert = QuarantineAlert()
    data_stale: DataStaleAlert = DataStaleAlert()
    feature_nulls: FeatureNullsAlert = FeatureNullsAlert()
    feature_skew: FeatureSkewAlert = FeatureSkewAlert()
    reward_fell: RewardFellAlert = RewardFellAlert()
    job_late: JobLateAlert = JobLateAlert()
    orchestrator_silent: OrchestratorSilentAlert = OrchestratorSilentAlert()
    report_late: ReportLateAlert = ReportLateAlert()
    run_queue: RunQueueAlert = RunQueueAlert()
    executor_queue: ExecutorQueueAlert = ExecutorQueueAlert()

    @model_validator(mode="after")
    def _has_a_day(self) -> Self:
        if (self.day_end_hour - self.day_start_hour) % 24 < MIN_DAY_HOURS:
            raise ValueError(
                f"day_start_hour is {self.day_start_hour} and day_end_hour is {self.day_end_hour}: the day "
                f"must have {MIN_DAY_HOURS} hours or more"
            )
        return self
