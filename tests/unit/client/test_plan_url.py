"""The plan from a controller over HTTP: what is in force while it changes, is missing or can't be reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from support.experiment_plans import experiment, plan_of, users
from tastemaker.client import Client, ServiceError
from tastemaker.client.plan_url import PlanUrl
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.plan_file import EMPTY_PLAN, write_plan

NEVER = 3_600.0


class Controller:
    """Answers GET /experiments/plan with what the test sets."""

    def __init__(self) -> None:
        self.status, self.content = 200, b""
        controller = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(controller.status if self.path == "/experiments/plan" else 418)
                self.send_header("Content-Length", str(len(controller.content)))
                self.end_headers()
                self.wfile.write(controller.content)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.client = Client(f"http://127.0.0.1:{self._server.server_port}")

    def close(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def controller() -> Iterator[Controller]:
    with closing(Controller()) as found:
        yield found


def names(plans: PlanUrl) -> list[str]:
    return [one.experiment for one in plans.current().assigner.assign(Units("u1"), {})]


def problem(status: int) -> bytes:
    return msgspec.json.encode({"title": "x", "status": status, "detail": "y"})


def test_the_plan_and_its_digest_are_those_of_the_file(controller: Controller, tmp_path: Path) -> None:
    plan = plan_of(experiment("a"))
    digest = write_plan(tmp_path / "plan.json", plan)
    controller.content = (tmp_path / "plan.json").read_bytes()
    with closing(PlanUrl(controller.client, NEVER)) as plans:
        assert (plans.current().plan, plans.current().digest, plans.trouble) == (plan, digest, None)


def test_a_change_acts_by_itself(controller: Controller) -> None:
    controller.content = msgspec.json.encode(plan_of(experiment("a")))
    with closing(PlanUrl(controller.client, 0.01)) as plans:
        assert names(plans) == ["a"]
        controller.content = msgspec.json.encode(plan_of(experiment("a", killed=True)))
        waiting = threading.Event()
        while names(plans):
            waiting.wait(0.01)
        assert plans.trouble is None


def test_a_controller_without_a_plan_runs_no_experiment(controller: Controller) -> None:
    controller.status, controller.content = 404, problem(404)
    with closing(PlanUrl(controller.client, NEVER)) as plans:
        assert (plans.current().plan, plans.current().digest, plans.trouble) == (EMPTY_PLAN, None, None)


def test_the_last_good_plan_stays_while_the_controller_fails(controller: Controller) -> None:
    controller.content = msgspec.json.encode(plan_of(experiment("a")))
    with closing(PlanUrl(controller.client, NEVER)) as plans:
        controller.status, controller.content = 503, problem(503)
        plans.look()
        assert names(plans) == ["a"]
        assert plans.trouble == "the experiments' plan can't be read: 503 x: y"
        controller.status, controller.content = 200, b"{"
        plans.look()
        assert names(plans) == ["a"]
        controller.content = msgspec.json.encode(plan_of(experiment("b")))
        plans.look()
        assert names(plans) == ["b"]
        assert plans.trouble is None


def test_a_controller_that_can_not_be_reached_is_said() -> None:
    with closing(Client("http://127.0.0.1:9")) as client, closing(PlanUrl(client, NEVER)) as plans:
        assert names(plans) == []
        assert "can't be reached" in (plans.trouble or "")
        with pytest.raises(ServiceError, match="can't be reached"):
            client.experiment_plan()


def test_held_experiments_keep_their_units(controller: Controller) -> None:
    """The file of enrolled units is on the controller's machine: the enrolment decides."""
    running = plan_of(experiment("a", enrolment=300_000))
    held = plan_of(experiment("a", enrolment=300_000, enrolled="enrolled/a.npy"))
    controller.content = msgspec.json.encode(held)
    with closing(PlanUrl(controller.client, NEVER)) as plans:
        assigner = Assigner(running, Path("/nowhere"))
        for unit in users(300):
            assert plans.current().assigner.assign(Units(unit), {}) == assigner.assign(Units(unit), {})
