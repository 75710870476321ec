"""Channels out of weights: which are left, and what is known of the others."""
