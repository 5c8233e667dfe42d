"""Whether rollouts end by themselves as they should: a good version promoted, bad ones rolled back.

    python benchmarks/rollout.py                  all of them, about fifteen minutes
    python benchmarks/rollout.py errors_in_canary
    python benchmarks/rollout.py --smoke          the one that needs the fewest users

Each scenario has a simulated shop with a champion, a new version, and the processes of production:
`tastemaker control` with its pinned services, the guard, the shipper, `tastemaker flows serve --local`, and
`tastemaker simulate`. A shadow and a step last 20 s at least, and the guard checks each 5 s; the product's
defaults are a day, a minute (service) and an hour (users). The steps, their shares of the users and all
margins are the product's. The exit status is 1 if a rollout has another end, if a list or an event is lost,
or if users get another version than they should then.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fault_worlds import World

from support import shop_homes
from support.repository import ROOT
from support.visited_service import Service, until, visiting
from tastemaker.evaluation import backtest
from tastemaker.experiments.guardrails.running_guard import is_guarded
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.rollouts import store
from tastemaker.rollouts.states import SCHEDULE, RolloutState
from tastemaker.rollouts.store import Rollout, RolloutChange
from tastemaker.simulator.faults.catalogue import FAULTS
from tastemaker.simulator.faults.switch import NAME, switched_on
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import user_ids
from tastemaker.workflows.faults.faulty_version import MODEL, plugin_folder
from tastemaker.workflows.rollouts import steps
from tastemaker.workflows.workspace import Workspace

SHOP = ShopConfig(n_users=20_000, n_items=120, n_days=40, events_per_day=300, seed=5)
"""So many users that a hundredth of them suffices for the guardrails."""
HOURS = 20.0 / 3_600.0
PROMOTION = {"path": "rollout", "shadow_hours": HOURS, "step_hours": HOURS}
ASKED = 1_000
"""Users who are asked for a list at the end, one after the other: were 1 % of the users left with another
version, all these would miss them once in 23,000 times."""
FOLLOWS_SECONDS = 60.0
"""How long services may take to follow the end of a rollout."""
REASON = 100
"""Characters of a reason that are printed."""
LINE = "{:<18} {:>7} {:<12} {:<26} {}"


class Scenario(NamedTuple):
    """A new version and what it does."""

    end: RolloutState
    """The end that its rollout should have."""
    fails_in: RolloutState | None = None
    """The state in which its fault begins; None: it has none."""
    fault: str = "model_error"
    share: float = 0.3
    """Of the requests that have the fault."""
    traffic: tuple[str, ...] = ()
    """Options of the simulated traffic; without `--rate`, users come as fast as they are answered."""
    is_newer_fit: bool = False
    """Whether its config is the champion's, so that it takes fewer steps."""
    most_seconds: float = 300.0
    """After which it is given up."""


SCENARIOS: Mapping[str, Scenario] = {
    "good": Scenario("promoted", most_seconds=1_200.0),
    "newer_data": Scenario("promoted", is_newer_fit=True, most_seconds=1_200.0),
    "errors_in_shadow": Scenario("rolled_back", "shadow", traffic=("--rate", "60")),
    "errors_in_canary": Scenario("rolled_back", "canary"),
    "slow_in_canary": Scenario("rolled_back", "canary", "slow_model"),
    "crashes_in_canary": Scenario("rolled_back", "canary", "worker_crash", 1.0),
}


@dataclass(frozen=True)
class Ended:
    """A rollout at its end, and what users got meanwhile."""

    rollout: Rollout
    changes: Sequence[RolloutChange]
    summary: dict[str, Any]
    """Of the simulated traffic."""
    audit: dict[str, Any]
    """Of the log beside the client's."""
    follows_seconds: float | None
    """From the end until the first of `ASKED` users in a row who got the right version; None: never."""

    def is_expected(self, scenario: Scenario) -> bool:
        """Return whether all is as it should be."""
        lists = self.summary["failed"] == 0 and not self.audit["lost_answers"]
        events = not self.audit["lost_events"] and not self.audit["doubled_events"]
        return self.rollout.state == scenario.end and lists and events and self.follows_seconds is not None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar=f"[{'|'.join(SCENARIOS)}]...")
@click.option("--smoke", is_flag=True, help="One scenario, the one that needs the fewest users.")
def main(names: tuple[str, ...], smoke: bool) -> None:
    """Roll versions out under simulated traffic, and print their states."""
    if smoke:
        names = ("errors_in_shadow",)
    if unknown := set(names) - SCENARIOS.keys():
        raise click.UsageError(f"{', '.join(sorted(unknown))}: none of {', '.join(SCENARIOS)}")
    sys.path.append(str(plugin_folder()))
    failed = []
    click.echo(LINE.format("scenario", "after s", "state", "by", "reason"))
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="tastemaker-rollout-") as folder:
            ended = roll_out(SCENARIOS[name], Path(folder))
        _print(name, ended)
        if not ended.is_expected(SCENARIOS[name]):
            failed.append(name)
    if failed:
        click.echo(f"not as expected: {', '.join(failed)}")
        sys.exit(1)


def roll_out(scenario: Scenario, folder: Path) -> Ended:
    """Roll a version out, and return what came of it.

    Args:
        scenario: The version.
        folder: An empty folder.
    """
    home = folder / "home"
    shop_homes.make_shop_home(home, (), SHOP)
    with (home / "problem.yaml").open("a", encoding="utf-8") as problem:
        problem.write("baseline: random\n")
    workspace = Workspace(shop_homes.settings(home, promotion=PROMOTION))
    champion = register(workspace)
    new = register(workspace, can_fail=not scenario.is_newer_fit)
    workspace.registry.make_champion(champion, "it is the first", forced=False)
    options = {f"TASTEMAKER_PROMOTION__{key.upper()}": str(value) for key, value in PROMOTION.items()}
    path = os.pathsep.join([str(plugin_folder()), str(ROOT / "tests")])
    more = shop_homes.environment(home, SHOP) | options | {"PYTHONPATH": path}
    with ExitStack() as stack:
        world = World(FAULTS[scenario.fault], folder, stack, more)
        service = produce(world)
        words = ("--anonymous", "0", *scenario.traffic)
        visits = stack.enter_context(visiting(home, service, *words, more=more))
        begun = steps.begin(workspace, new.id, SCHEDULE, "it is the newest version")
        rollout = followed(workspace, begun.id, scenario)
        follows = follows_after(service, new if rollout.state == "promoted" else champion)
        summary = visits.end()
        found = world.run("tastemaker", "simulate", "--check", str(visits.client_log), "--json", failing=True)
    return Ended(
        rollout, store.read_changes(workspace.engine, rollout.id), summary, json.loads(found), follows
    )


def register(workspace: Workspace, *, can_fail: bool = False) -> Version:
    """Fit, evaluate and register a version, and the baseline's backtest with it.

    Args:
        workspace: The workspace.
        can_fail: Whether faults that are switched on befall it.
    """
    plugin = discovery.get(MODEL)
    switch = str(workspace.settings.home.resolve() / NAME) if can_fail else ""
    model, cut, split = plugin.recommender(switch=switch), workspace.cut(), workspace.split()
    evaluated = [
        backtest.run(one, config, split, workspace.problem, workspace.engine, workspace.settings.artifacts)
        for one, config in ((discovery.get("random"), None), (plugin, model.config))
    ]
    data = cut.training(workspace.settings.seed)
    return workspace.registry.add(
        model.fit(data),
        problem=workspace.problem,
        snapshot=cut.serving_snapshot,
        window=(cut.start, cut.end),
        counts={"events": len(data.events), "users": data.n_users, "items": data.n_items},
        seed=workspace.settings.seed,
        backtest_id=evaluated[-1].id,
    )


def produce(world: World) -> Service:
    """Start the processes of production, and return the controller."""
    world.start(sys.executable, "-m", "support.brisk_guard")
    until(lambda: is_guarded(world.home / "experiments"), "the guard does not start")
    service = world.serve("tastemaker", "control")
    world.start(sys.executable, "-m", "support.eager_shipper", "--follow")
    world.start("tastemaker", "flows", "serve", "--local", "--poll", "2")
    return service


def followed(workspace: Workspace, number: int, scenario: Scenario) -> Rollout:
    """Wait for the end of a rollout, which comes by itself; its fault begins when its time has come."""
    give_up = time.monotonic() + scenario.most_seconds
    with ExitStack() as stack:
        is_faulty = False
        while (found := store.read_rollout(workspace.engine, number)).is_open and time.monotonic() < give_up:
            if found.state == scenario.fails_in and not is_faulty:
                stack.enter_context(switched_on(workspace.settings.home, {scenario.fault: scenario.share}))
                is_faulty = True
            time.sleep(0.5)
        return found


def follows_after(service: Service, expected: Version) -> float | None:
    """Return after how many seconds `ASKED` users in a row get a version; None if they never do."""
    began, users, in_a_row = time.monotonic(), cycle(user_ids(np.arange(SHOP.n_users)).to_pylist()), 0
    while (now := time.monotonic() - began) < FOLLOWS_SECONDS:
        in_a_row = in_a_row + 1 if service.recommend(next(users))["version"] == expected.id else 0
        if in_a_row == 1:
            first = now
        if in_a_row == ASKED:
            return first
    return None


def _print(name: str, ended: Ended) -> None:
    for change in ended.changes:
        after = (change.at - ended.rollout.started_at).total_seconds()
        reason = change.reason if len(change.reason) <= REASON else f"{change.reason[: REASON - 3]}..."
        click.echo(LINE.format(name, f"{after:.0f}", change.state, change.actor, reason))
    summary, audit = ended.summary, ended.audit
    follows = "never" if ended.follows_seconds is None else f"after {ended.follows_seconds:.1f} s"
    click.echo(
        f"{name}: {audit['answered']:,} lists, {summary['failed']:,} requests without one, "
        f"{len(audit['lost_answers'])} not logged; "
        f"{audit['acknowledged']:,} events, {len(audit['lost_events'])} lost, "
        f"{len(audit['doubled_events'])} doubled; fallbacks {sum(summary['fallbacks'].values()):,}; "
        f"all users get the right version {follows}"
    )


if __name__ == "__main__":
    main()
