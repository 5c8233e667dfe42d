"""The stages that make a list: candidates, filters, model, diversity, new items."""
