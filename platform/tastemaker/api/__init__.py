"""The HTTP contract that the service, its client and the traffic simulator share."""
