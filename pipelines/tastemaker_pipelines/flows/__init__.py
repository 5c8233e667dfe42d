"""Flows: work that waits for people or for hours. What only waits for data belongs to the asset graph.

A flow is a plain function, which the modules `rollout` and `erasure` define. It runs within a Prefect server
(`served`, `serve`) or without one (`local`).
"""
