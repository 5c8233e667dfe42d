"""From socket to handler: routes, authentication, rate limits, parsing, OpenAPI."""
