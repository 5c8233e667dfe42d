"""The problem as a typed file: who is shown what, what it is worth, and how we know that it worked.

`spec` holds the types, `rules` what must hold between their fields, `loading` reads a file and says all that
is wrong with it, `writing` makes a commented file. The mathematics of a problem is in `framing`.
"""

from tastemaker.problem.loading import load_problem
from tastemaker.problem.spec import (
    CandidateRules,
    EventReward,
    Guardrail,
    Metric,
    Objective,
    Placement,
    ProblemSpec,
    Slices,
    Split,
)

__all__ = [
    "CandidateRules",
    "EventReward",
    "Guardrail",
    "Metric",
    "Objective",
    "Placement",
    "ProblemSpec",
    "Slices",
    "Split",
    "load_problem",
]
