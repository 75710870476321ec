"""From paths to a network that is really smaller."""
