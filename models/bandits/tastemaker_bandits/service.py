"""`bentoml serve tastemaker_bandits.service:Thompson`, and so on for each."""

from tastemaker.serving.bento_service import service

EpsilonGreedy = service("epsilon_greedy")
LinThompson = service("lin_thompson")
LinUCB = service("lin_ucb")
LogisticThompson = service("logistic_thompson")
Thompson = service("thompson")
UCB1 = service("ucb1")
