"""The catalog: everything about photos, captions, models and shards that is not a vector, in SQL."""
