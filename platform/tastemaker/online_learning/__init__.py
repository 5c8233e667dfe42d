"""Online learning: a version is updated with the logged feedback on the lists that it showed.

replay        the training data: impressions whose reward is final, in the same order for every replica
checkpoints   stored model states, each with its position in the log
learner       a checkpoint plus a replay of the log after it

`workflows.online_learning` runs a learner in a workspace.
"""
