"""Flags of a shop's own code, from a real controller: its answers, its kills, and its log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext

from support.bento_servers import running
from support.experiment_plans import experiment, plan_of, users
from support.served_homes import make_home
from tastemaker.client.openfeature import from_controller
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.exposures import exposures
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.assignment_sql import replay
from tastemaker.experiments.plan import Namespace, PinnedService
from tastemaker.experiments.plan_file import LOOK_SECONDS, read_archive, write_plan
from tastemaker.privacy.pseudonyms import KEY, Pseudonyms

pytestmark = pytest.mark.servers

SECRET = "k" * 32
HIDDEN = Pseudonyms(SECRET.encode())
PLAN = plan_of(
    experiment("checkout", enrolment=700_000, epoch=2),
    experiment("search", "device", claim=((0, 800_000),)),
    namespaces=(Namespace("home", "user", "ns-home"), Namespace("device", "device", "ns-device")),
    services=(PinnedService("champion", "popularity", "v1", "http://127.0.0.1:9"),),
    default="champion",
)
"""The default service is not needed by flags: it does not answer."""
KILL_SECONDS, BUSY_SECONDS = 2.0, 60.0
"""Within which a kill is promised to act, and what it may take on a machine that has other things to do."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a plan of flags."""
    home = tmp_path_factory.mktemp("flags") / "home"
    make_home(home, [])
    write_plan(home / "experiments" / "plan.json", PLAN)
    return home


@pytest.fixture(scope="module")
def flags(home: Path) -> Iterator[OpenFeatureClient]:
    """A flag client whose provider asks a running controller."""
    environment = {
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_PRIVACY__PSEUDONYMIZE": "true",
        "BENTOML_HOME": str(home.parent / "bentoml"),
        KEY: SECRET,
    }
    command = ["bentoml", "serve", "tastemaker.controller.bento_service:Controller"]
    with running(command, home.parent, environment) as served:
        api.set_provider_and_wait(from_controller(str(served.base_url), pseudonym=HIDDEN.of))
        yield api.get_client()
        api.shutdown()
        api.clear_providers()


def test_the_log_has_what_the_assigner_says_and_a_kill_acts(flags: OpenFeatureClient, home: Path) -> None:
    assigner, expected = Assigner(PLAN, home), set()
    for number, user in enumerate(users(1_500)):
        device = f"device {number}"
        units = Units(HIDDEN.of(user), HIDDEN.of(device))
        truth = {one.experiment: one for one in assigner.assign(units, {})}
        context = EvaluationContext(None, {"user_id": user, "device_id": device})
        for name in ("checkout", "search"):
            details = flags.get_string_details(name, "default", context)
            assert (details.variant, details.error_code) == (
                truth[name].variant if name in truth else None,
                None,
            )
        expected |= {(one.experiment, one.epoch, one.variant, one.unit) for one in truth.values()}

    first, *others = PLAN.experiments
    killed = (msgspec.structs.replace(first, killed=True), *others)
    write_plan(home / "experiments" / "plan.json", msgspec.structs.replace(PLAN, experiments=killed))
    assert 2 * LOOK_SECONDS <= KILL_SECONDS, "the controller looks at the file, and the client asks it"
    until = time.monotonic() + BUSY_SECONDS
    someone = EvaluationContext(
        next(user for user in users(50) if assigner.assign(Units(HIDDEN.of(user)), {}))
    )
    while flags.get_string_details("checkout", "default", someone).value != "default":
        assert time.monotonic() < until, "the kill does not act"
        time.sleep(0.02)

    flags.provider.shutdown()
    lake = Lake(home / "lake")
    drain(home / "spool", lake)
    with lake.connect() as connection:
        rows = exposures(connection)
        logged = rows.project("experiment, epoch, variant, unit").fetchall()
        by_user = rows.project("user_id").distinct().fetchall()
        result = replay(connection, rows, read_archive(home / "experiments"), home / "experiments")
    assert len(logged) == len(expected) > 1_500
    assert set(logged) == expected
    assert {user for (user,) in by_user} <= {HIDDEN.of(user) for user in users(1_500)}
    assert (result.exposures, result.disagreements) == (len(expected), [])
