"""Vectors on disk and search over them."""
