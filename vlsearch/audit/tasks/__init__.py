"""The tasks of an audit: retrieval (A), choice (B and C), and lists, where there are no captions."""
