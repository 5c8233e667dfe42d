"""Rules about what users may demand."""

from __future__ import annotations

from tastemaker.alerting.conditions import same
from tastemaker.alerting.example import Example, gauge
from tastemaker.alerting.expressions import Aggregate, Compare, Gauge
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules; the deadline of a request is fixed when it is entered."""
    overdue = Aggregate("max", (), Gauge(metric("tastemaker_erasure_overdue_requests")))
    return (
        Rule(
            name="erasure_overdue",
            severity="ticket",
            labels=(),
            condition=same(
                Compare(overdue, ">", 0),
                "A request to erase a user is open after its deadline (`privacy.erasure_days` after it was "
                "entered).",
            ),
            summary="Requests to erase a user that are open after their deadline: {value}",
            unit="count",
            cause="jobs",
            owner="operations",
            runbook=Runbook(
                "The user who asked is still in your data. The law may have set the deadline.",
                "`tastemaker erasure list` names the requests. One that is `waiting` needs a decision. Of "
                "one that is `approved`, `tastemaker erasure show NUMBER` has the attempts, the last problem "
                "and where the user remains.",
                "Decide what waits: `tastemaker erasure approve` or `decline`. Let `tastemaker flows serve` "
                "run, which executes what is approved. Where versions in use keep the user, replace them: "
                "`tastemaker run`. Delete files of others yourself.",
                "`tastemaker_erasure_overdue_requests` is 0.",
            ),
            exporter="watch",
            example=Example((gauge("erasure_overdue_requests", 0, 2),)),
        ),
    )
