"""The demo's experiment: the champion against the baseline, on users whose truth is known."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.experiments.analysis.look import Look
    from tastemaker.experiments.design import Design
    from tastemaker.experiments.lifecycle.store import Experiments
    from tastemaker.workflows.workspace import Workspace

NAMESPACE = "demo"
"""A namespace of its own: its users are free again at once, so that the demo can be repeated."""
PERSON = "demo"
METRIC = "ctr_list"
"""Clicks are frequent: few users are enough."""
WINDOW_SECONDS = 3.0
"""How long a user's events count: simulated people answer right away, a busy machine passes it on later."""
PLANNED_UNITS = 1_000
LOOKS = 3
VISITS = 600
"""Between two looks. Some users come several times, and count once."""
MOST_ROUNDS = 4 * LOOKS
"""Of visits, if users come so often that there are too few of them."""
_DECISIONS = {
    "better": "b is shipped and is the champion now, because a planned look found it better than control",
    "worse": "b is dropped and control stays, because a planned look found b worse than control",
    "equal": "b is dropped and control stays, because the last planned look found no difference",
    "undecided": "b is dropped and control stays, because no planned look found a difference",
    "invalid": "b is dropped and control stays, because users were not divided as planned",
}


def run_experiment(workspace: Workspace, console: Console) -> str | None:
    """Run an experiment on the shop's simulated users, decide it, and print it beside the truth.

    Args:
        workspace: Of the demo's home.
        console: Where it is printed.

    Returns:
        The experiment's name; None if it could not start.
    """
    experiments = workspace.experiments
    try:
        design = draft_experiment(workspace)
        _start(workspace, design.name)
    except TastemakerError as error:  # such as an experiment of a person's own in this home
        _end(experiments, "it could not start")
        console.print(f"No experiment: {error}")
        return None
    control, other = (one.model for one in design.variants.values())
    console.print(
        f"[bold]{design.name}[/]: half of the users get the lists of {control} (control), the others those "
        f"of {other} (b), through tastemaker control. Whose lists are clicked more often?"
    )
    try:
        look = _visited(workspace, design.name, console)
        _decide(workspace, look)
    finally:
        _end(experiments, "the demo was interrupted")
    users = ", ".join(f"{units:,} with {name}" for name, units in look.units.items())
    console.print(f"users     {users}; each got the same variant at every visit")
    console.print(f"result    [bold]{look.sentence}[/]")
    console.print(f"decision  {_DECISIONS[look.verdict]}")
    _compare_with_truth(workspace, design, look, console)
    return design.name


def draft_experiment(workspace: Workspace) -> Design:
    """Store the draft of the champion against the newest version of the baseline, and return its design."""
    from tastemaker.experiments.plan import BUCKETS
    from tastemaker.workflows.experiment_draft import draft, named_variants, with_shares

    experiments = workspace.experiments
    if NAMESPACE not in {one.name for one in experiments.namespaces()}:
        experiments.add_namespace(NAMESPACE, cool_down_seconds=0)
    _end(experiments, "an earlier demo was interrupted")
    taken = {one.name for one in experiments.list()}
    design = draft(
        workspace,
        next(name for number in count(1) if (name := f"demo-{number}") not in taken),
        with_shares(named_variants(workspace, [workspace.problem.baseline], "ab"), {}),
        namespace=NAMESPACE,
        owner=PERSON,
        hypothesis="the champion's lists are clicked more often than the baseline's",
        primary=METRIC,
        minimum_effect=0.2,
        planned_units=PLANNED_UNITS,
        window_days=WINDOW_SECONDS / DAY_SECONDS,
        looks=LOOKS,
        steps=(BUCKETS,),
    )
    experiments.check(design)
    experiments.create(design, PERSON)
    return design


def _start(workspace: Workspace, name: str) -> None:
    """Enrol all users at once: the demo has no time for smaller steps, nor for an A/A experiment before."""
    from tastemaker.workflows.experiments import make_ready

    make_ready(workspace, name, actor=PERSON, reason="the demo's experiment")
    workspace.experiments.change(
        name, "start", actor=PERSON, reason="all of its users are simulated", confirmed=("aa",)
    )


def _visited(workspace: Workspace, name: str, console: Console) -> Look:
    """Let users visit the controller until a look decides, and return the last look."""
    from tastemaker.event_log.shipping import collect
    from tastemaker.simulator.traffic.audience import TrafficMix
    from tastemaker_pipelines.cli.demo_service import service, visit

    with service(workspace, console, "control") as url:
        for number in range(MOST_ROUNDS):
            with console.status(f"{VISITS:,} visits"):
                visit(workspace, url, VISITS, TrafficMix(seed=number, anonymous=0.0))
                collect(workspace.settings, workspace.lake)
                look = workspace.experiment_looks.take(name)
            if look.verdict != "undecided":
                break
    return look


def _decide(workspace: Workspace, look: Look) -> None:
    """Do what the look's verdict demands."""
    from tastemaker.workflows.experiments import ship_variant

    reason = _DECISIONS[look.verdict]
    if look.verdict == "better":
        ship_variant(workspace, look.experiment, "b", actor=PERSON, reason=reason)
    else:
        workspace.experiments.change(look.experiment, "drop", actor=PERSON, reason=reason)


def _compare_with_truth(workspace: Workspace, design: Design, look: Look, console: Console) -> None:
    """Print the effect on all users, which only a simulated shop can say."""
    from tastemaker.workflows.simulated_experiment import simulate_experiment

    with console.status("the truth"):
        known = simulate_experiment(workspace, design, runs=0)
    agrees = "agrees" if look.verdict == known.right else "does not agree"
    truth = f"{100 * known.truth['b']:+.1f} %".replace("-", "−")
    console.print(
        f"truth     {truth} for the users of the simulated shop: b is {known.right}; "
        f"the result {agrees} with it"
    )


def _end(experiments: Experiments, reason: str) -> None:
    """End whatever experiment of the demo is open."""
    for one in experiments.list():
        if one.namespace == NAMESPACE and one.state not in ("decided", "archived"):
            action = "archive" if one.state in ("draft", "ready") else "drop"
            experiments.change(one.name, action, actor=PERSON, reason=reason)
