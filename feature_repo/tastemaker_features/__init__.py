"""The Feast repository over the snapshots that `tastemaker.features` computes. Nothing is computed here."""

from tastemaker.features.feast_import import import_feast

import_feast()
