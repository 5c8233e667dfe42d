"""The OpenFeature provider: the assigner's answer through the flag API, with the API's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from support.assigned_units import UNITS, rich_plan
from support.experiment_plans import HALVES, experiment, forced, plan_of, users
from tastemaker.api.schemas import ExposureReport
from tastemaker.client.exposures import ExposureQueue
from tastemaker.client.openfeature import ExperimentProvider
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.plan import BUCKETS, ControlPlan, Holdout, Namespace, TargetingRule, Variant
from tastemaker.experiments.plan_file import PlanFile, PlanInForce, write_plan
from tastemaker.privacy.pseudonyms import Pseudonyms

DIGEST = "0123456789abcdef" * 4


class FixedPlan:
    """A plan that does not change."""

    def __init__(self, plan: ControlPlan) -> None:
        self._in_force = PlanInForce(plan, DIGEST, Assigner(plan, Path("/nowhere")))

    def current(self) -> PlanInForce:
        return self._in_force


class Recorded(ExposureQueue):
    """Exposures that are kept, not sent."""

    def __init__(self) -> None:
        self.added: list[ExposureReport] = []
        self.is_closed = False

    def add(self, exposure: ExposureReport) -> None:
        self.added.append(exposure)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def no_provider_left() -> Iterator[None]:
    yield
    api.clear_providers()


def flags(plan: ControlPlan, exposures: ExposureQueue | None = None, **other: Any) -> OpenFeatureClient:
    api.set_provider_and_wait(ExperimentProvider(FixedPlan(plan), exposures, **other))
    return api.get_client()


def valued(*values: Any, **other: Any) -> ControlPlan:
    """A plan of the experiment `a`, whose units get one of the values."""
    step = BUCKETS // len(values)
    variants = tuple(
        Variant(f"v{at}", at * step, (at + 1) * step, value=value) for at, value in enumerate(values)
    )
    return plan_of(experiment("a", variants=variants, control="v0", **other))


U1 = EvaluationContext("u1")


@pytest.mark.slow
def test_the_answer_is_the_assigners_for_thousands_of_units() -> None:
    plan = rich_plan()
    assigner, client = Assigner(plan, Path("/nowhere")), flags(plan)
    for units in UNITS[:2_500]:
        expected = {one.experiment: one.variant for one in assigner.assign(units, {})}
        ids = {f"{name}_id": value for name, value in units._asdict().items() if value}
        context = EvaluationContext(None, ids)
        for name in ("a", "b", "of_devices", "of_sessions", "of_requests", "killed"):
            if name == "of_devices" and units.device is None:
                continue
            found = client.get_string_details(name, "default", context)
            assert (found.variant, found.error_code) == (expected.get(name), None)
            assert found.value == expected.get(name, "default")


def test_the_targeting_key_is_the_namespaces_unit() -> None:
    plan = rich_plan()
    client = flags(plan)
    for units in UNITS[:200]:
        by_key = client.get_string_details("of_sessions", "", EvaluationContext(units.session))
        other = {"session_id": "another", "user_id": units.user or ""}
        both = client.get_string_details("of_sessions", "", EvaluationContext(units.session, other))
        (expected,) = [
            one.assigned.variant if one.assigned else None
            for one in Assigner(plan, Path("/nowhere")).explain(Units(session=units.session), {})
            if one.experiment == "of_sessions"
        ]
        assert by_key.variant == expected
        assert both.variant in (expected, None)


def test_each_type_of_value() -> None:
    assert flags(valued(True)).get_boolean_value("a", False, U1) is True
    assert flags(valued("red")).get_string_value("a", "", U1) == "red"
    assert flags(valued(7)).get_integer_value("a", 0, U1) == 7
    assert flags(valued(0.5)).get_float_value("a", 0.0, U1) == 0.5
    assert flags(valued({"k": [1, 2]})).get_object_value("a", {}, U1) == {"k": [1, 2]}
    assert flags(valued(["x"])).get_object_value("a", [], U1) == ["x"]


def test_a_whole_number_is_a_float_and_a_variant_without_a_value_is_its_name() -> None:
    found = flags(valued(7)).get_float_value("a", 0.0, U1)
    assert (found, type(found)) == (7.0, float)
    assert flags(valued(None)).get_string_value("a", "", U1) == "v0"


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        ("boolean", False, 1),
        ("boolean", False, "true"),
        ("boolean", False, None),
        ("string", "x", 1),
        ("integer", 3, True),
        ("integer", 3, 0.5),
        ("integer", 3, "1"),
        ("float", 0.5, True),
        ("float", 0.5, "1"),
        ("object", {}, "x"),
        ("object", {}, None),
    ],
)
def test_a_value_of_another_type_is_an_error_and_no_exposure(kind: str, default: Any, value: Any) -> None:
    exposures = Recorded()
    details = getattr(flags(valued(value), exposures), f"get_{kind}_details")("a", default, U1)
    assert (details.value, details.error_code, details.reason) == (
        default,
        ErrorCode.TYPE_MISMATCH,
        Reason.ERROR,
    )
    assert "variant v0 of a has the value" in details.error_message
    assert exposures.added == []


def test_an_unknown_flag_and_a_missing_unit_are_the_apis_errors() -> None:
    client = flags(plan_of(experiment("a")))
    unknown = client.get_string_details("b", "default", U1)
    assert (unknown.value, unknown.error_code) == ("default", ErrorCode.FLAG_NOT_FOUND)
    for context in (None, EvaluationContext(), EvaluationContext("", {"device_id": "d"})):
        missing = client.get_string_details("a", "default", context)
        assert (missing.value, missing.error_code) == ("default", ErrorCode.TARGETING_KEY_MISSING)
        assert missing.error_message == (
            "experiment a needs the user: pass its id as targeting key or as user_id"
        )


@pytest.mark.parametrize("unit", ["x" * 201, "é" * 101, "a\0b", "\ud800", 17, ["u"]])
def test_an_id_that_the_log_can_not_hold_is_an_error(unit: Any) -> None:
    details = flags(plan_of(experiment("a"))).get_string_details(
        "a", "default", EvaluationContext(None, {"user_id": unit})
    )
    assert (details.value, details.error_code) == ("default", ErrorCode.INVALID_CONTEXT)


def test_reasons() -> None:
    gb = (TargetingRule("country", "in", ("GB",)),)
    cases: list[tuple[ControlPlan, dict[str, Any], Reason, str]] = [
        (plan_of(experiment("a")), {}, Reason.SPLIT, "assigned"),
        (plan_of(experiment("a", forced=forced("u1", "control"))), {}, Reason.TARGETING_MATCH, "forced"),
        (plan_of(experiment("a", killed=True)), {}, Reason.DISABLED, "killed"),
        (plan_of(experiment("a", enrolment=0)), {}, Reason.DEFAULT, "not_enrolled"),
        (plan_of(experiment("a", targeting=gb)), {"country": "FR"}, Reason.DEFAULT, "targeting"),
        (plan_of(experiment("a", targeting=gb)), {"country": "GB"}, Reason.SPLIT, "assigned"),
        (
            plan_of(experiment("a"), holdouts=(Holdout("h", "user", "s", BUCKETS),)),
            {},
            Reason.DEFAULT,
            "holdout",
        ),
    ]
    for plan, attributes, reason, decision in cases:
        details = flags(plan).get_string_details("a", "default", EvaluationContext("u1", attributes))
        assert (details.reason, details.flag_metadata["decision"]) == (reason, decision)
        assert (details.value == "default") == (reason in (Reason.DEFAULT, Reason.DISABLED))


def test_an_exposure_says_what_the_log_needs() -> None:
    exposures = Recorded()
    client = flags(plan_of(experiment("a", epoch=4)), exposures)
    value = client.get_string_value("a", "", U1)
    client.get_string_value("unknown", "", U1)
    (one,) = exposures.added
    assert (one.experiment, one.epoch, one.variant, one.probability) == ("a", 4, value, 0.5)
    assert (one.unit, one.user_id, one.plan) == ("u1", "u1", DIGEST[:16])
    assert one.occurred_at is not None


def test_the_user_of_a_device_is_reported_with_it() -> None:
    exposures = Recorded()
    client = flags(rich_plan(), exposures)
    for units in UNITS[1:40]:
        context = EvaluationContext(units.device, {"user_id": units.user or ""})
        client.get_string_value("of_devices", "", context)
    assert exposures.added
    assert {one.unit[0] for one in exposures.added} == {"d"}
    assert {one.user_id for one in exposures.added} <= {one.user for one in UNITS}


def test_a_unit_that_gets_the_default_is_not_exposed() -> None:
    exposures = Recorded()
    flags(plan_of(experiment("a", enrolment=0)), exposures).get_string_value("a", "", U1)
    assert exposures.added == []


def test_pseudonyms_are_assigned_as_the_controller_assigns_them() -> None:
    """The unit is hidden; the user's id is hidden by the service, as in all its requests."""
    exposures, hidden = Recorded(), Pseudonyms(b"k" * 32)
    plan = plan_of(experiment("a"))
    client = flags(plan, exposures, pseudonym=hidden.of)
    for unit in users(300):
        (expected,) = Assigner(plan, Path("/nowhere")).assign(Units(hidden.of(unit)), {})
        assert client.get_string_value("a", "", EvaluationContext(unit)) == expected.variant
    assert [one.unit for one in exposures.added] == [hidden.of(unit) for unit in users(300)]
    assert [one.user_id for one in exposures.added] == users(300)


def test_a_request_is_assigned_by_its_own_id_where_people_have_pseudonyms() -> None:
    """As the log has it: a request's id says nothing about a person, and is not hidden."""
    plan = plan_of(experiment("a"), namespaces=(Namespace("home", "request", "ns-home"),))
    client = flags(plan, pseudonym=Pseudonyms(b"k" * 32).of)
    for request in users(100):
        (expected,) = Assigner(plan, Path("/nowhere")).assign(Units(request=request), {})
        assert client.get_string_value("a", "", EvaluationContext(request)) == expected.variant


def test_ids_of_users_take_the_form_of_the_tables() -> None:
    exposures = Recorded()
    client = flags(plan_of(experiment("a")), exposures)
    client.get_string_value("a", "", EvaluationContext(" 27.0"))
    assert [one.unit for one in exposures.added] == ["27"]
    exposures = Recorded()
    flags(plan_of(experiment("a")), exposures, ids="text").get_string_value(
        "a", "", EvaluationContext("27.0")
    )
    assert [one.unit for one in exposures.added] == ["27.0"]


def test_a_plan_file_answers_too_and_its_changes_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.experiments.plan_file.LOOK_SECONDS", 0.0)
    write_plan(tmp_path / "plan.json", plan_of(experiment("a", variants=HALVES)))
    api.set_provider_and_wait(ExperimentProvider(PlanFile(tmp_path / "plan.json")))
    client = api.get_client()
    assert client.get_string_value("a", "default", U1) != "default"
    write_plan(tmp_path / "plan.json", plan_of(experiment("a", killed=True)))
    assert client.get_string_value("a", "default", U1) == "default"


def test_shutdown_reports_what_waits() -> None:
    exposures = Recorded()
    flags(plan_of(experiment("a")), exposures)
    api.shutdown()
    assert exposures.is_closed
    assert api.get_client().provider.get_metadata().name
