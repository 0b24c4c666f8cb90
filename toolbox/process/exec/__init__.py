"""One shell command per request."""
