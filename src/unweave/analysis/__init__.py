"""Measures on `Paths`: each a function that returns a frozen table."""
