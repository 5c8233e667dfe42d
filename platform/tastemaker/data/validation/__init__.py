"""The gate that rows pass before they are published, and what it reports."""
