"""Online learning: a version goes on learning from what became of shown lists, and loses nothing.

lessons    what is learned: impressions whose reward is final, in an order that every replica agrees on
states     snapshots of what was learned, each with its place in the log
learner    a snapshot plus a replay of the log behind it
sessions   a learner in a workspace, pass after pass
"""
