"""The champion: the version that is served where no model is named."""
