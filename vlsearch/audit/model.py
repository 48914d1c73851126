"""A model as audits use it: every distinct text and photo is embedded once, then found in the library's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.cache import VectorCache, key_of
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.audit.datasets import Photo
    from vlsearch.encoders.vectors_file import VectorsEncoder
    from vlsearch.library import Library

Vectors = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
Shown = NDArray[np.uint8]

DECODED = 1 << 29
"""bytes of photos that are kept as they were decoded, for the perturbations to come"""
BATCH = 64
"""photos that are embedded together: always as many, so that a photo's vector does not depend on how many there are"""
TEXTS = 1024
"""texts that are embedded before the first of them is kept"""


class AuditModel:
    """`encoder` is a loaded model or a `VectorsEncoder`; `folder` is where vectors are kept (None: nowhere)."""

    def __init__(self, encoder: Any, folder: Path | None, progress: Progress = lambda *_: None) -> None:
        from vlsearch.encoders.vectors_file import VectorsEncoder

        self.encoder = encoder
        self.name, self.fingerprint, self.dim = str(encoder.name), str(encoder.fingerprint), int(encoder.dim)
        self.file: VectorsEncoder | None = encoder if isinstance(encoder, VectorsEncoder) else None
        self._progress = progress
        self._decoded: dict[tuple[object, str], Shown] = {}
        place = folder / self.fingerprint[:32] if folder is not None and self.fingerprint else None
        self._cache = VectorCache(None if self.file else place, self.dim)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) unit rows."""
        if self.file is not None:
            return self.file.embed_texts(texts)
        keys = [key_of("text", text) for text in texts]
        vectors, known = self._cache.find(keys)
        missing = list({keys[n]: n for n in np.flatnonzero(~known).tolist()}.values())
        many = getattr(self.encoder, "embed_many", self.encoder.embed_texts)
        for start in range(0, len(missing), TEXTS):
            part = missing[start : start + TEXTS]
            self._cache.put([keys[n] for n in part], many([texts[n] for n in part]))
        if missing:
            left = np.flatnonzero(~known)
            vectors[left] = self._cache.find([keys[n] for n in left])[0]
        return vectors

    def need(self, texts: Sequence[str]) -> None:
        """UsageError that counts those of all texts of an audit that a file of vectors lacks, before it begins."""
        if self.file is not None:
            self.file.rows_of(texts)

    def is_cut(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) which texts are beyond the model's context."""
        if not hasattr(self.encoder, "is_cut"):
            return np.zeros(len(texts), np.bool_)
        return np.asarray(self.encoder.is_cut(texts), dtype=np.bool_)

    def embed_photos(
        self,
        photos: Sequence[Photo],
        read: Callable[[str], bytes],
        perturbation: str = "identity-photos",
        seed: int = 0,
        what: str = "photos",
    ) -> Vectors:
        """(n, dim) unit rows of photos, whose bytes `read` gives by their paths, each distinct one embedded once.

        UnreadableFile for a photo that cannot be read; UsageError where the model is a file that lacks some, or that
        cannot embed what is perturbed.
        """
        if self.file is not None:
            return self._from_file(self.file, photos, perturbation)
        vectors = np.empty((len(photos), self.dim), np.float32)
        self._progress(what, 0, len(photos))
        for start in range(0, len(photos), 8 * BATCH):
            part = photos[start : start + 8 * BATCH]
            data = [_bytes(photo.path, read) for photo in part]
            digests = [hashlib.sha256(one).hexdigest() for one in data]
            setting = (perturbation, str(seed if perturbation != "identity-photos" else 0))
            keys = [
                key_of("photo", digest, repr(photo.box), *setting) for photo, digest in zip(part, digests, strict=True)
            ]
            found, known = self._cache.find(keys)
            missing = np.flatnonzero(~known).tolist()
            for some in _batches(missing):
                pixels = self._pixels([(part[n], data[n], digests[n]) for n in some], perturbation, seed)
                rows = self.encoder.embed_images(pixels)[: len(some)]
                found[some] = self._cache.put([keys[n] for n in some], rows)
                self._progress(what, start + some[-1] + 1, len(photos))
            vectors[start : start + len(part)] = found
            self._progress(what, start + len(part), len(photos))
        return vectors

    def flush(self) -> None:
        """Keep what is new also for other processes."""
        self._cache.flush()

    def _pixels(self, photos: Sequence[tuple[Photo, bytes, str]], perturbation: str, seed: int) -> Shown:
        """(BATCH, height, width, 3), the last ones again where there are fewer."""
        from concurrent.futures import ThreadPoolExecutor

        from vlsearch.audit.perturb import perturb_photo
        from vlsearch.encoders.lanes import cores

        def one(given: tuple[Photo, bytes, str]) -> Shown:
            photo, data, digest = given
            key = photo.box, digest
            pixels = self._decoded.get(key)
            if pixels is None:
                pixels = _decoded(photo, data, self.encoder.preprocess)
                if len(self._decoded) * pixels.nbytes < DECODED:
                    self._decoded[key] = pixels
            return perturb_photo(pixels, perturbation, seed, digest)

        with ThreadPoolExecutor(cores()) as pool:
            pixels = list(pool.map(one, photos))
        return np.stack(pixels + pixels[-1:] * (BATCH - len(pixels)))

    @staticmethod
    def _from_file(file: VectorsEncoder, photos: Sequence[Photo], perturbation: str) -> Vectors:
        if perturbation != "identity-photos":
            raise UsageError(f"{file.name} has vectors of the photos as they are, so that {perturbation} needs a model")
        return file.photo_vectors([name_of(photo) for photo in photos])


def source_of(library: Library, name: str | None, weights: Path | None, *, own: bool) -> dict[str, Any]:
    """How the model that is asked for is loaded, by `load`: for the library's own photos one that made their vectors,
    or in any case a file of vectors. UsageError where the library has no vectors of it."""
    from vlsearch.encoders import names
    from vlsearch.encoders.vectors_file import PREFIX

    if name is not None and name.startswith(PREFIX):
        path = Path(name.removeprefix(PREFIX)).expanduser().absolute()
        return {"name": name, "vectors": str(path)}
    if not own:
        return library.source_for(name, weights)
    return names.source_of(name, weights) if name and weights else library.model(name).source


def load(source: dict[str, Any], load_source: Callable[[dict[str, Any]], Any]) -> Any:
    """What `source_of` described: a file of vectors, or what `load_source` makes of it."""
    from vlsearch.encoders.vectors_file import VectorsEncoder

    return VectorsEncoder(Path(source["vectors"])) if "vectors" in source else load_source(source)


def name_of(photo: Photo) -> str:
    """What a file of vectors calls a photo, or a part of one: "2391.jpg#10,20,110,220" (left, upper, right, lower)."""
    return photo.path if photo.box is None else f"{photo.path}#{','.join(map(str, photo.box))}"


def _batches(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _bytes(path: str, read: Callable[[str], bytes]) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise UnreadableFile(f"cannot read '{printable(path)}': {error.strerror or error}") from error


def _decoded(photo: Photo, data: bytes, preprocess: Any) -> Shown:
    """The photo, or the part of it that its box names, as the model takes it."""
    from vlsearch.ingest.decode import decode

    try:
        if photo.box is not None:
            data = _cropped(data, photo.box)
        return decode(data, preprocess).pixels
    except (UnreadableFile, OSError, ValueError) as error:
        raise UnreadableFile(f"cannot read '{printable(photo.path)}': {error}") from error


def _cropped(data: bytes, box: tuple[int, int, int, int]) -> bytes:
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        part = image.convert("RGB").crop(box)
    buffer = BytesIO()
    part.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
