"""Readers of the files that frames consist of."""
