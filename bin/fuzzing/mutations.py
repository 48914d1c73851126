"""Ways to damage a file, each a function of its bytes, a generator of chance and another file's bytes."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from fuzzing.seeds import chunk

HEADER = 160
"""bytes in which nearly every format keeps its sizes"""
LARGEST = 2_000_000
"""bytes: what a mutation makes longer is cut here"""

Mutation = Callable[[bytearray, random.Random, bytes], bytes | bytearray]


def mutate(data: bytes, draw: random.Random, other: bytes) -> bytes:
    """One to three mutations, one after the other; half of the PNGs get their checksums right again, as theirs keep
    everything else from what lies behind."""
    changed: bytes | bytearray = data
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        changed = draw.choice(MUTATIONS)(bytearray(changed), draw, other)
    if changed[:4] == b"\x89PNG" and draw.random() < 0.5:
        changed = _with_checksums(bytes(changed))
    return bytes(changed[:LARGEST])


def _place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, or as often in the header."""
    reach = min(len(data), HEADER) if draw.random() < 0.5 else len(data)
    return draw.randrange(max(reach, 1))


def _block(data: bytearray, draw: random.Random) -> tuple[int, int]:
    start = _place(data, draw)
    return start, start + int(2 ** draw.uniform(0, 13))


def flip_bits(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    for _ in range(draw.choice((1, 2, 4, 16)) if data else 0):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)
    return data


def set_bytes(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    for _ in range(draw.choice((1, 2, 4, 16)) if data else 0):
        data[_place(data, draw)] = draw.choice((0, 1, 2, 9, 10, 32, 45, 127, 128, 254, 255, draw.randrange(256)))
    return data


def truncate(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    return data[: draw.randrange(len(data) + 1)]


def keep_header(data: bytearray, draw: random.Random, _other: bytes) -> bytes:
    return bytes(data[: draw.randint(2, HEADER)]) + draw.choice((b"", bytes(999), draw.randbytes(999), b"\xff" * 999))


def delete_block(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    start, stop = _block(data, draw)
    del data[start:stop]
    return data


def repeat_block(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    start, stop = _block(data, draw)
    data[start:start] = data[start:stop] * draw.choice((1, 1, 2, 9, 500))
    return data


def overwrite_block(data: bytearray, draw: random.Random, other: bytes) -> bytearray:
    start, stop = _block(data, draw)
    stop = min(stop, len(data))
    there = draw.randrange(len(other) + 1)
    fill = draw.choice((bytes(stop - start), b"\xff" * (stop - start), other[there : there + stop - start]))
    data[start : start + len(fill)] = fill
    return data


def insert_noise(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    start = _place(data, draw)
    data[start:start] = draw.randbytes(draw.choice((1, 2, 4, 64, 1000)))
    return data


def splice(data: bytearray, draw: random.Random, other: bytes) -> bytes:
    return bytes(data[: draw.randrange(len(data) + 1)]) + other[draw.randrange(len(other) + 1) :]


def set_number(data: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    """A number of 2 or 4 bytes in either order, which may be a size, a count or an offset, to one at a limit."""
    width = draw.choice((2, 4))
    top = 256**width
    near = len(data) + draw.randint(-2, 2)
    number = draw.choice((0, 1, 2**14, 30_000, top // 2 - 1, top // 2, top - 1, top - 2, near, draw.randrange(top)))
    start = _place(data, draw)
    data[start : start + width] = (number % top).to_bytes(width, draw.choice(("little", "big")))
    return data


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, set_bytes, set_number, truncate, keep_header, delete_block, repeat_block, overwrite_block),
    *(insert_noise, splice, set_number, flip_bits),
)


def _with_checksums(data: bytes) -> bytes:
    """A PNG's chunks as far as they can be followed, each with the checksum of what it holds now."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        kind, body = data[at + 4 : at + 8], data[at + 8 : end]
        parts.append(chunk(kind, _recompressed(body) if kind == b"IDAT" else body))
        at = end + 4
    return b"".join(parts) + data[at:]


def _recompressed(body: bytes) -> bytes:
    """With Adler's checksum at its end right again, where the stream can be followed to its end."""
    stream = zlib.decompressobj(-15)
    try:
        samples = stream.decompress(body[2:], LARGEST)
    except zlib.error:
        return body
    return zlib.compress(samples, 1) if stream.eof else body
