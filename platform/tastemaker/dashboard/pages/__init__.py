"""The pages, in the order of the navigation. A new page is a module here and a line in PAGES."""

from __future__ import annotations

from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import (
    agreement,
    alerts,
    catalogue,
    churn,
    data,
    definitions,
    drift,
    engagement,
    experiment,
    experiments,
    foreign_models,
    incident,
    model_version,
    models,
    report,
    reports,
    request,
    requests,
    retention,
    rollout,
    rollouts,
    today,
    training,
    users,
)

PAGES: tuple[DashboardPage, ...] = (
    today.PAGE,
    models.PAGE,
    model_version.PAGE,
    training.PAGE,
    engagement.PAGE,
    catalogue.PAGE,
    retention.PAGE,
    churn.PAGE,
    experiments.PAGE,
    experiment.PAGE,
    agreement.PAGE,
    rollouts.PAGE,
    rollout.PAGE,
    drift.PAGE,
    alerts.PAGE,
    incident.PAGE,
    requests.PAGE,
    request.PAGE,
    data.PAGE,
    reports.PAGE,
    report.PAGE,
    foreign_models.PAGE,
    definitions.PAGE,
    users.PAGE,
)
"""The first one is shown at `/`."""
