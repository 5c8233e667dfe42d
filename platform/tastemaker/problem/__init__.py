"""The problem file: which users are shown which items, the rewards, the metric and the constraints.

`spec` defines the types, `rules` the conditions between their fields, `loading` reads a file and reports
every mistake, `writing` writes a commented file. The mathematics of a problem is in `framing`.
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
    SplitSpec,
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
    "SplitSpec",
    "load_problem",
]
