"""What happens before a service starts: precomputed lists, the Bento image."""
