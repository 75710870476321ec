"""Run folders: where a search's files are."""
