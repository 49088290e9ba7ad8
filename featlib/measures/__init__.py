"""Numbers about representations."""
