"""The Feast repository over the snapshots that `tastemaker.features` computes. Nothing is computed here."""
