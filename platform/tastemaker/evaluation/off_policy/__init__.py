"""What would another policy have earned? Estimates from a log that a randomizing policy left.

logged         the log as arrays, and the target policy's probabilities on it
estimators     the estimators, one pure function each
reward_models  what direct method and doubly robust estimators predict rewards with, cross-fitted
diagnostics    whether the log can answer at all
bounds         intervals that hold at every sample size
estimate       all of it at once, diagnostics first: refused, or with intervals
open_bandit    logs in the format of the Open Bandit Dataset
impressions, replaying, described, forecast, terminal    the platform's own request log
"""

from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy
from tastemaker.evaluation.off_policy.estimate import Report, estimate

__all__ = ["BanditFeedback", "EvaluationPolicy", "Report", "estimate"]
