"""What bin/make-scenes draws with: a canvas, animals, things, places."""
