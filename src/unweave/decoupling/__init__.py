"""Networks that choose a calculation path for every input (Interpretable Network Decoupling, ECCV 2020)."""
