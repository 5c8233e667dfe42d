"""The baselines pass the checks."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_baselines.bought_again import BoughtAgain
from tastemaker_baselines.popularity import Popularity
from tastemaker_baselines.random import Random
from tastemaker_baselines.trending import Trending

test_checks = parametrize_with_checks(BoughtAgain, Popularity, Random, Trending)
