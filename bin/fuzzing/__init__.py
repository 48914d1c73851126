"""What bin/fuzz-photos is made of: whole image files of every kind, and ways to damage them."""
