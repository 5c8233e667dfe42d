"""The simulated shop: catalogue, people, choices, days. Pure."""
