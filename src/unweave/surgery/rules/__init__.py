"""One rule per kind of operation: what it does to constant channels, what it needs, how it is written smaller."""
