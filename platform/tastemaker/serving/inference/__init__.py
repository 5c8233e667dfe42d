"""From request to list: batching, the predictor, fallbacks, the circuit breaker."""
