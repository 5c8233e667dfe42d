"""Hyperparameter search inside the training window only, so that the test period stays unseen."""
