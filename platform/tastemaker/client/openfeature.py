"""An OpenFeature provider: a shop's own code asks for its variant by the flag API that it already uses.

from openfeature import api
from tastemaker.client.openfeature import ExperimentProvider, from_controller

api.set_provider(from_controller("https://recommender.example", key="tm_..."))
new_checkout = api.get_client().get_boolean_value("checkout", False, EvaluationContext("17850"))

The flag's key is the experiment's name; the targeting key is the unit of its namespace. Attributes of the
context are facts for targeting; `user_id`, `device_id`, `session_id` and `request_id` are the ids of other
units. The answer is that of the controller: the same plan, the same hashes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol
from uuid import uuid4

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    InvalidContextError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from tastemaker.api.schemas import MAX_ID_BYTES, ExposureReport
from tastemaker.client.client import Client
from tastemaker.client.exposures import ExposureQueue
from tastemaker.client.plan_url import PlanUrl
from tastemaker.experiments.assignment import Assigned, Units
from tastemaker.experiments.plan import ControlPlan, PlannedExperiment
from tastemaker.experiments.plan_file import PlanInForce
from tastemaker.snapshot.canonical_ids import IdForm, canonical

DIGEST_LENGTH = 16
RETRY_SECONDS = 3.0
"""For one report of exposures: what fails waits for the next, and a program that ends does not wait long."""
_REASONS = {"assigned": Reason.SPLIT, "forced": Reason.TARGETING_MATCH, "killed": Reason.DISABLED}


class Plans(Protocol):
    """Where the plan in force comes from: a `PlanFile` or a `PlanUrl`."""

    def current(self) -> PlanInForce:
        """Return the plan in force."""


class ExperimentProvider(AbstractProvider):
    """Resolves flags to the values of the variants of experiments."""

    def __init__(
        self,
        plans: Plans,
        exposures: ExposureQueue | None = None,
        *,
        pseudonym: Callable[[str], str] | None = None,
        ids: IdForm = "canonical",
    ) -> None:
        """Answer by a plan.

        Args:
            plans: Gives the plan in force.
            exposures: Reports which units got which variant; None where the shop's code reports it.
            pseudonym: Returns an id's pseudonym, where the log has pseudonyms:
                `tastemaker.privacy.pseudonyms.Pseudonyms.of`. Without it, units would be others there.
            ids: The form of user ids: that of the service, as in its setting `source.ids`.
        """
        super().__init__()
        self._plans, self._exposures, self._pseudonym, self._ids = plans, exposures, pseudonym, ids

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("tastemaker")

    def shutdown(self) -> None:
        """Report the exposures that wait, and stop reading the plan."""
        for part in (self._exposures, self._plans):
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return the value of the unit's variant, which must be true or false.

        Args:
            flag_key: The name of the experiment.
            default_value: The value where the unit is not assigned to a variant.
            evaluation_context: The ids of the units, and the facts for targeting; None for none of both.

        Raises:
            OpenFeatureError: The experiment does not run, the context lacks a valid id of its unit, or the
                value is of another type. OpenFeature then gives the default to its caller.
        """
        return self._resolved(flag_key, default_value, evaluation_context, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the value of the unit's variant, which must be text; without a value, the variant's name.

        Args:
            flag_key: The name of the experiment.
            default_value: The value where the unit is not assigned to a variant.
            evaluation_context: The ids of the units, and the facts for targeting; None for none of both.

        Raises:
            OpenFeatureError: As of `resolve_boolean_details`.
        """
        return self._resolved(flag_key, default_value, evaluation_context, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return the value of the unit's variant, which must be a whole number.

        Args:
            flag_key: The name of the experiment.
            default_value: The value where the unit is not assigned to a variant.
            evaluation_context: The ids of the units, and the facts for targeting; None for none of both.

        Raises:
            OpenFeatureError: As of `resolve_boolean_details`.
        """
        return self._resolved(flag_key, default_value, evaluation_context, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return the value of the unit's variant, which must be a number.

        Args:
            flag_key: The name of the experiment.
            default_value: The value where the unit is not assigned to a variant.
            evaluation_context: The ids of the units, and the facts for targeting; None for none of both.

        Raises:
            OpenFeatureError: As of `resolve_boolean_details`.
        """
        return self._resolved(flag_key, default_value, evaluation_context, float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return the value of the unit's variant, which must be a list or a mapping.

        Args:
            flag_key: The name of the experiment.
            default_value: The value where the unit is not assigned to a variant.
            evaluation_context: The ids of the units, and the facts for targeting; None for none of both.

        Raises:
            OpenFeatureError: As of `resolve_boolean_details`.
        """
        return self._resolved(flag_key, default_value, evaluation_context, list, dict)

    def _resolved(
        self, flag_key: str, default: Any, context: EvaluationContext | None, *types: type
    ) -> FlagResolutionDetails[Any]:
        """Return the value of the unit's variant, or the default and why. Raises OpenFeatureError."""
        in_force = self._plans.current()
        experiment = next((one for one in in_force.plan.experiments if one.name == flag_key), None)
        if experiment is None:
            raise FlagNotFoundError(f"no experiment {flag_key!r} runs")
        context = context or EvaluationContext()
        given = self._given(_unit_of(experiment, in_force.plan), context)
        units = Units(*given)
        if self._pseudonym is not None:  # the log has no pseudonym of a request
            units = Units(*map(self._pseudonym, given))._replace(request=units.request)
        outcome = in_force.assigner.explain_one(flag_key, units, context.attributes)
        if outcome is None or outcome.reason == "no_unit":
            _refuse_missing(experiment, in_force.plan)
        details = FlagResolutionDetails(
            default,
            reason=_REASONS.get(outcome.reason, Reason.DEFAULT),
            flag_metadata={
                "decision": outcome.reason,
                "epoch": outcome.assigned.epoch if outcome.assigned else experiment.epoch,
            },
        )
        if outcome.assigned is not None:
            details.variant = outcome.assigned.variant
            details.value = _value(experiment, outcome.assigned, types)
            self._expose(outcome.assigned, given[0], in_force.digest)
        return details

    def _given(self, unit: str, context: EvaluationContext) -> list[str]:
        """Return the ids of the context in the order of `Units`; the targeting key is that of `unit`."""
        given: dict[str, object] = {one: context.attributes.get(f"{one}_id", "") for one in Units._fields}
        if context.targeting_key:
            given[unit] = context.targeting_key
        user, *others = (_checked(one, value) for one, value in given.items())
        return [canonical(user, self._ids), *others]

    def _expose(self, assigned: Assigned, user_id: str | None, digest: str | None) -> None:
        """Report an exposure; the service hides the user's id itself."""
        if self._exposures is None:
            return
        self._exposures.add(
            ExposureReport(
                exposure_id=uuid4().hex,
                experiment=assigned.experiment,
                epoch=assigned.epoch,
                variant=assigned.variant,
                unit=assigned.unit,
                probability=assigned.probability,
                plan=digest[:DIGEST_LENGTH] if digest else None,
                user_id=user_id or None,
                occurred_at=time.time(),
            )
        )


def from_controller(
    url: str,
    *,
    key: str | None = None,
    pseudonym: Callable[[str], str] | None = None,
    ids: IdForm = "canonical",
) -> ExperimentProvider:
    """Return a provider that gets its plan from a controller, and reports exposures to it.

    Args:
        url: Where the controller listens.
        key: An API key with the scopes `recommend` and `feedback`; None where it needs none.
        pseudonym: As in `ExperimentProvider`.
        ids: As in `ExperimentProvider`.
    """
    client = Client(url, key=key, retry_seconds=RETRY_SECONDS)
    return ExperimentProvider(PlanUrl(client), ExposureQueue(client), pseudonym=pseudonym, ids=ids)


def _unit_of(experiment: PlannedExperiment, plan: ControlPlan) -> str:
    return next(one.unit for one in plan.namespaces if one.name == experiment.namespace)


def _refuse_missing(experiment: PlannedExperiment, plan: ControlPlan) -> NoReturn:
    unit = _unit_of(experiment, plan)
    raise TargetingKeyMissingError(
        f"experiment {experiment.name} needs the {unit}: pass its id as targeting key or as {unit}_id"
    )


def _checked(unit: str, given: object) -> str:
    """Return an id of the context. Raises InvalidContextError if the log can't hold it."""
    try:
        if isinstance(given, str) and "\0" not in given and len(given.encode()) <= MAX_ID_BYTES:
            return given
    except UnicodeEncodeError:  # half of a character
        pass
    raise InvalidContextError(f"the id of the {unit} must be text of at most {MAX_ID_BYTES} bytes")


def _value(experiment: PlannedExperiment, assigned: Assigned, types: tuple[type, ...]) -> Any:
    """Return the value of a variant. Raises TypeMismatchError if it is of another type."""
    value = next(one.value for one in experiment.variants if one.name == assigned.variant)
    if value is None and str in types:
        return assigned.variant
    if float in types and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(one.__name__ for one in types)
        raise TypeMismatchError(
            f"variant {assigned.variant} of {experiment.name} has the value {value!r}, which is not {wanted}"
        )
    return value
