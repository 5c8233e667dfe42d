"""Events of the lake as training arrays: loaded, as of a cutoff, and split into periods."""
