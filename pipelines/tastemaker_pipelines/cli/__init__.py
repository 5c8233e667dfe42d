"""Commands that drive the asset graph or the gate; they join `tastemaker` by entry point."""
