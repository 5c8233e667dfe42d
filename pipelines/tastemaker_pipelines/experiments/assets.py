"""The looks at the results of experiments."""

import dagster as dg

from tastemaker_pipelines.common import PRODUCT_TEAM, RETRY, readable_failures
from tastemaker_pipelines.log.assets import served_requests
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="experiments",
    deps=[served_requests, "events"],
    kinds={"duckdb", "sqlite"},
    owners=[PRODUCT_TEAM],
    retry_policy=RETRY,
    description=(
        "A look at each experiment that runs: effects of its variants over the users whose window is over, "
        "and at planned looks a verdict. If a look can't be taken, the others are, and then the step fails."
    ),
)
def experiment_looks(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Write the metadata database's tables looks and look_effects."""
    with readable_failures():
        taken = workspace.open().experiment_looks.take_due()
    if taken.failures:
        raise dg.Failure(description="\n".join(taken.failures), allow_retries=False)
    sentences = {look.experiment: f"{look.verdict}: {look.sentence}" for look in taken.looks}
    return dg.MaterializeResult(metadata={"looks": len(taken.looks), **sentences})
