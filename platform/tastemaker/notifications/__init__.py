"""Notifications about incidents, and the channels that send them.

A channel sends a notification once and returns what came of it. Nothing here evaluates rules, keeps state or
tries again: whoever calls a channel keeps the outbox.
"""
