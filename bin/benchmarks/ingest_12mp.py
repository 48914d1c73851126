"""Photos/s of a whole ingest of 120 JPEGs of 12 megapixels beside two plain loops and its own stages."""

from benchmarks._ingest import measured
from benchmarks._material import photos_12mp


def run() -> dict[str, float]:
    return measured(photos_12mp())
