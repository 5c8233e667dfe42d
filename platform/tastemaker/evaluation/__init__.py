"""Judging models: ranking metrics over users, their intervals, the backtests and the leaderboard.

What a metric is lives in `metrics`; asking a model and checking its answers in `evaluator` and
`ranking_checks`; how sure a figure is in `stats.bootstrap`; one fit held against one split in `backtest`; all
of them side by side in `leaderboard`. Nothing here knows a concrete model or an orchestrator.
"""
