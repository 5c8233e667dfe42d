"""Where the items of a list come from, when not from scoring the whole catalogue."""
