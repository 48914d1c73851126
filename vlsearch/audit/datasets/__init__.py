"""Captioned photographs and choice tasks by name and by path."""
