"""Labelled images: where they come from, which class each is, and batches of them."""
