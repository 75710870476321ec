"""Steps that the commands are made of: open a network and its data, search, measure, draw."""
