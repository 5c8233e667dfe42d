"""Search of the request log: queries, the answers that match them, and what is known about one answer."""
