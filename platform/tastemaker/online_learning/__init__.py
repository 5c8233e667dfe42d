"""Online learning: a version goes on learning from what became of shown lists, and loses nothing.

replay        what is learned: impressions whose reward is final, in an order that every replica agrees on
checkpoints   what was learned so far, each with its place in the log
learner       a checkpoint plus a replay of the log behind it

A learner in a workspace, pass after pass, is `workflows.online_learning`.
"""
