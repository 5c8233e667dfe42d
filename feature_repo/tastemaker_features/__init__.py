"""The Feast repository: entities, sources, views and services, over the snapshots that `tastemaker.features` computes."""
