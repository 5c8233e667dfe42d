"""The job that sends the weekly digest, and its schedule: Monday morning in the shop's time zone."""

from datetime import UTC, datetime

import dagster as dg

from tastemaker_pipelines.resources import LazyWorkspace, WorkspaceResource

MONDAY_FROM_7 = "0 7-23 * * 1"


@dg.op(description="Sends the digest of last week to the channels that do not have it.")
def send_weekly_digest(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    """Send the digest; a channel that is away is tried again at the schedule's next hour."""
    from tastemaker.digest.delivery import deliver
    from tastemaker.digest.scheduling import digest_channels, shop_week
    from tastemaker.digest.writing import write_digest

    home, now = workspace.open(), datetime.now(UTC)
    settings = home.settings
    digest = write_digest(home.engine, home.problem.name, shop_week(settings, now), now)
    sent = deliver(home.engine, digest, digest_channels(settings), environment=settings.watch.environment)
    for one in sent:
        context.log.info("%s: %s (%s)", one.channel, one.outcome, one.detail)
    if missing := [f"{one.channel}: {one.outcome} ({one.detail})" for one in sent if not one.is_done]:
        raise dg.Failure(f"not sent to {'; '.join(missing)}", allow_retries=False)


@dg.job(description="Sends the weekly digest.")
def weekly_digest() -> None:
    """Send the digest of last week."""
    send_weekly_digest()


def weekly_digest_schedule(workspace: LazyWorkspace) -> dg.ScheduleDefinition:
    """Return the schedule, in the time zone of the shop."""

    @dg.schedule(
        name="weekly_digest",
        job=weekly_digest,
        cron_schedule=MONDAY_FROM_7,
        execution_timezone=workspace.open().settings.shop_timezone,
        description="Monday from 7:00 on, each hour until every channel has the digest of last week.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from tastemaker.digest.scheduling import why_not_now

        home = workspace.open()
        now = context.scheduled_execution_time.astimezone(UTC)
        reason = why_not_now(home.engine, home.settings, home.problem.name, now)
        return dg.RunRequest() if reason is None else dg.SkipReason(reason)

    return schedule
