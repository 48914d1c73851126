"""From files to what the library stores: walking folders, decoding photos, reading captions."""
