"""How a model does with less data, and how fast it ages."""
