"""Judging models: ranking metrics over users, their intervals, the backtests and the leaderboard.

What a metric is lives in `metrics`; asking a model and checking its answers in `judge` and `answers`; how
sure a figure is in `bootstrap`; one fit held against one split in `backtest`; all of them side by side in
`leaderboard`. Nothing here knows a concrete model or an orchestrator.
"""
