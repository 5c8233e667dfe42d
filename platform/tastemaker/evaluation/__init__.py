"""Evaluation of models: ranking metrics over users, their intervals, backtests and the leaderboard.

Metrics are defined in `metrics`. `evaluator` asks a model for lists and `ranking_checks` checks them.
Intervals come from `stats.bootstrap`. `backtest` evaluates one fit on one split, and `leaderboard` compares
all models. Nothing here knows a concrete model or an orchestrator.
"""
