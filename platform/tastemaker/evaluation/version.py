"""The version of the code that evaluates: what decides whether a stored backtest still holds."""

EVALUATION_VERSION = 2
"""Part of every backtest's id. Raise it by one when the same data, model and config give other figures.

That is so when the way changes in which events become training data, a split or features, in which lists are
asked for, or in which metrics are computed. `tests/unit/test_evaluation_version.py` fails until it is raised.
Changes that leave all figures as they are (reports, sources, names, comments) leave it alone.
"""
