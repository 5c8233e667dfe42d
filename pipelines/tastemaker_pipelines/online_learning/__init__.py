"""What models that learn online have learned from live feedback."""
