"""The run time that computes only what an input selects."""
