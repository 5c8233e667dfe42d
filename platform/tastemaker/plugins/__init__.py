"""The plugin API: everything that a model may import from the platform.

A model is a distribution with an entry point in the group `tastemaker.models`. It defines a frozen
`Config` and a `Recommender`, whose `fit` takes `TrainingData` and whose `recommend` takes a `Batch` and
returns a `Ranking`.
`tastemaker models new NAME` creates one, and `tastemaker.plugins.checks` tests it.
"""

from tastemaker.plugins.arrays import (
    NO_ITEM,
    UNKNOWN_USER,
    Batch,
    Events,
    FeatureSource,
    FeatureTable,
    History,
    Ranking,
)
from tastemaker.plugins.attributes import Attributes, Categorical, ItemAttributes
from tastemaker.plugins.preferences import item_popularity, preferences
from tastemaker.plugins.recommender import INTERFACE_VERSION, Capabilities, Config, Recommender, load_array
from tastemaker.plugins.search_space import Choice, Search
from tastemaker.plugins.selection import empty_ranking, forbid, select, select_rows
from tastemaker.plugins.training_data import Feedback, TrainingData

__all__ = [
    "INTERFACE_VERSION",
    "NO_ITEM",
    "UNKNOWN_USER",
    "Attributes",
    "Batch",
    "Capabilities",
    "Categorical",
    "Choice",
    "Config",
    "Events",
    "FeatureSource",
    "FeatureTable",
    "Feedback",
    "History",
    "ItemAttributes",
    "Ranking",
    "Recommender",
    "Search",
    "TrainingData",
    "empty_ranking",
    "forbid",
    "item_popularity",
    "load_array",
    "preferences",
    "select",
    "select_rows",
]
