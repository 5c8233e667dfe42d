"""The models that any other must beat: each needs a second to train and none to explain."""
