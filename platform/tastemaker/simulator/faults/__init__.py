"""Faults that are produced on purpose, so that each alert rule can be seen to fire.

catalogue   the faults: what each does, and which rules find it
switch      the file that switches a model's faults on, for seconds at a time
faulty      the model that fails while the file says so
"""
