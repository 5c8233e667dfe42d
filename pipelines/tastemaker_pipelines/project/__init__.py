"""A project of one's own: the folder that `tastemaker init` creates, and its templates."""
