"""Use cases: open a workspace, train, promote, rebuild the registry."""
