"""Networks by name or from a user's file."""
