"""Trainings: a model's backtest and version, each fitted in a child process with a memory limit."""
