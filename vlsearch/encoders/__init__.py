"""Models: images and texts to unit vectors."""
