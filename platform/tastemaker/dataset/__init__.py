"""Events of the lake as training arrays: loaded, as of a time, and split in periods."""
