"""Off-policy evaluation: what another policy would have earned, estimated from a stochastic policy's log.

bandit_feedback  the log as arrays, and the evaluation policy's probabilities on it
estimators       the estimators, one pure function each
reward_models    models of the expected reward for the direct method and doubly robust estimators
diagnostics      checks that the log can support an estimate
intervals        intervals of the estimates
estimate         diagnostics first, then all estimators with their intervals
open_bandit      logs in the format of the Open Bandit Dataset
platform_log     evaluation from the platform's own request log
terminal         diagnostics and forecasts in a terminal
"""

from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy
from tastemaker.evaluation.off_policy.estimate import Report, estimate

__all__ = ["BanditFeedback", "EvaluationPolicy", "Report", "estimate"]
