"""The captured graph of a network, and what is read from it: channels, sites, gates."""
