"""Version of the evaluation code, which decides whether a stored backtest is still valid."""

EVALUATION_VERSION = 3
"""Part of every backtest's id. Raise it by one when the same data, model and config give other figures.

That is the case when training data, splits or features are made from events in another way, when lists are
requested in another way, when metrics are computed in another way, or when what models import of
`tastemaker.plugins` computes something else.
`tests/unit/evaluation/test_evaluation_version.py` fails until it is raised. Changes that leave all figures
unchanged (reports, sources, names, comments) do not raise it.
"""
