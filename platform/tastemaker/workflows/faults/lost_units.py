"""Users of a variant who never come, so that an experiment's units are not divided as planned."""

from __future__ import annotations

from collections.abc import Callable

from tastemaker.errors import TastemakerError
from tastemaker.experiments.assignment import Units, bucket
from tastemaker.experiments.lifecycle.kills import PLAN
from tastemaker.experiments.plan import BUCKETS
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.settings import Settings

SALT = "variant_lost"


def never_comes(settings: Settings, share: float) -> Callable[[str], bool]:
    """Return what says of a user's id whether the user never comes.

    Args:
        settings: Of the home folder with the experiments.
        share: Of the users with a variant that is not control.

    Raises:
        TastemakerError: No experiment is in force.
    """
    plan, _, assigner, _ = PlanFile(settings.experiments_root / PLAN).current()
    if not plan.experiments:
        raise TastemakerError(
            "variant_lost can't be produced: no experiment is in force",
            fix="start one: tastemaker experiment",
        )
    controls = {(one.name, one.control) for one in plan.experiments}
    pseudonyms = open_pseudonyms(settings)

    def is_lost(user_id: str) -> bool:
        unit = user_id if pseudonyms is None else pseudonyms.of(user_id)
        assigned = assigner.assign(Units(user=unit), {"kind": "user"})
        is_treated = any((one.experiment, one.variant) not in controls for one in assigned)
        return is_treated and bucket(SALT, unit) < share * BUCKETS

    return is_lost
