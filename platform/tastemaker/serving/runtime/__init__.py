"""What a worker is made of and how it changes while it runs."""
