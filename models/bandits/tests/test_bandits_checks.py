"""The bandits pass the checks."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy
from tastemaker_bandits.lin_thompson import LinThompson
from tastemaker_bandits.lin_ucb import LinUCB
from tastemaker_bandits.logistic_thompson import LogisticThompson
from tastemaker_bandits.thompson import Thompson
from tastemaker_bandits.ucb1 import UCB1

test_checks = parametrize_with_checks(EpsilonGreedy, LinThompson, LinUCB, LogisticThompson, Thompson, UCB1)
