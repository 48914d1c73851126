"""Files/s of a second ingest of 20,000 unchanged small photos, the whole command, beside os.walk with a stat each."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._material import temporary

FILES = 20_000


def run() -> dict[str, float]:
    with temporary() as folder:
        photos = make_photos(folder / "photos")
        environment = os.environ | {"VLSEARCH_LIBRARY": str(folder / "library")}
        first = command("ingest", str(photos), "--model", "builtin", environment=environment)
        again = statistics.median(command("ingest", str(photos), environment=environment) for _ in range(5))
        walked = statistics.median(walk(photos) for _ in range(5))
    return {
        "first ingest, s": first,
        "second ingest, s": again,
        "second ingest, files/s": FILES / again,
        "os.walk and stat, files/s": FILES / walked,
    }


def make_photos(folder: Path) -> Path:
    """20,000 distinct JPEGs of 32 × 32 pixels in 200 folders: one JPEG, and a comment of its own in each."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    for i in range(FILES):
        path = folder / f"{i // 100:03d}" / f"{i:05d}.jpg"
        if i % 100 == 0:
            path.parent.mkdir(parents=True)
        comment = f"{i:08d}".encode()
        path.write_bytes(jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:])
    return folder


def command(*arguments: str, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vlsearch", *arguments], check=True, env=environment, stdout=subprocess.PIPE)
    return time.perf_counter() - began


def walk(folder: Path) -> float:
    began = time.perf_counter()
    for root, _, names in os.walk(folder):
        for name in names:
            os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 - the baseline is what one writes first
    return time.perf_counter() - began
