"""Pictures of measures."""
