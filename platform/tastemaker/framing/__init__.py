"""Problem framing: the questions that define a problem, and its mathematical formulation.

Pure functions over records; the command `tastemaker.cli.frame` asks and prints.
"""
