"""Faults of `tastemaker simulate --fault` that are neither in the model nor in the traffic.

Each holds while a block runs. What a killed simulator would leave behind is either let go by the operating
system, ended by a process of its own, or put right by the next simulation.
"""
