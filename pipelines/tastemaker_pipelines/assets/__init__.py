"""The assets, one file a group. An asset is a noun, says what it is, and hands the work to `tastemaker`."""
