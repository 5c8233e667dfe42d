"""The baselines obey the laws."""

from tastemaker.plugins.checks import lawful
from tastemaker_baselines.bought_again import BoughtAgain
from tastemaker_baselines.popularity import Popularity
from tastemaker_baselines.random import Random
from tastemaker_baselines.trending import Trending

test_laws = lawful(BoughtAgain, Popularity, Random, Trending)
