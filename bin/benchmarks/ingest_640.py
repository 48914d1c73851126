"""Photos/s of a whole ingest of 1,000 JPEGs of 640 × 480 beside two plain loops and its own stages."""

from benchmarks._ingest import measured
from benchmarks._material import photos_640


def run() -> dict[str, float]:
    return measured(photos_640())
