"""The Model Controller: assigns each request to a variant and forwards it to the service of its version."""
