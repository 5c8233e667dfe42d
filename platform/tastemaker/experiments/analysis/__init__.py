"""Results of experiments: metrics per unit, the table of units, looks, and the planner."""
