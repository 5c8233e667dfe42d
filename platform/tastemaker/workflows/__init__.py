"""Use cases: open a workspace, train, promote, tune, and learn online."""
