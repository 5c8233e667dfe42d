"""Framing a problem: the questions that shrink its scope, and the mathematics that it comes to.

Pure functions over records; asking and printing is the command's work (`tastemaker.cli.frame`).
"""
