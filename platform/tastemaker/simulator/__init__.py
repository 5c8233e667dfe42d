"""A shop with latent tastes: events to start from, and a known truth to hold models against."""
