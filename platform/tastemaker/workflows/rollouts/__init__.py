"""Rollouts: how a new version enters production, step by step, and why it went that way."""
