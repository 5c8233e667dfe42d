"""Product metrics from the logs."""
