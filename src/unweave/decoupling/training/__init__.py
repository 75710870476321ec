"""Training of decoupled networks."""
