"""Camera RAW: the JPEG that the camera put into the file, or the sensor's pixels at half size, both through LibRaw."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UnreadableFile

if TYPE_CHECKING:
    from PIL import Image

_MAGIC = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM")  # raf, orf, rw2, mrw
_TIFF = (b"II*\0", b"MM\0*")
_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 0x00FE, 0x0106, 0x014A, 0xC612
_SENSOR = (32803, 34892)  # PhotometricInterpretation: colour filter array, LinearRaw (DNG 1.7.1, chapter 2)
_TURNED = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's flip to EXIF's orientation


def is_raw(data: bytes) -> bool:
    """Whether these are the bytes of a camera's RAW file. Most are TIFFs, whose first page is a thumbnail."""
    if data.startswith(_MAGIC) or data[6:14] == b"HEAPCCDR" or data[4:12] == b"ftypcrx ":
        return True
    if not data.startswith(_TIFF):
        return False
    if data[8:10] == b"CR":
        return True
    try:
        return _holds_a_sensor(data)
    except Exception:
        return False


def _holds_a_sensor(data: bytes) -> bool:
    """By the tags of the first page and the pages within it: DNG's version, pixels of a sensor, or pages within what
    says that it is a smaller version of another one."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = io.BytesIO(data)

    def page(offset: int | None = None) -> ImageFileDirectory_v2:
        tags = ImageFileDirectory_v2(data[:8])
        file.seek(tags.next if offset is None else offset)
        tags.load(file)
        return tags

    first = page()
    within = first.get(_SUB_IFDS, ())
    within = within if isinstance(within, tuple) else (within,)
    if _DNG_VERSION in first or first.get(_PHOTOMETRIC) in _SENSOR or (within and first.get(_SUBFILE_TYPE) == 1):
        return True
    return any(page(offset).get(_PHOTOMETRIC) in _SENSOR for offset in within[:8])


class Raw:
    """An opened RAW file."""

    def __init__(self, data: bytes, libraw: Any) -> None:
        self._libraw = libraw
        self.tags = _tags(data)
        sizes = libraw.sizes
        self.orientation = _TURNED.get(sizes.flip, 1)
        """of its preview, where that says nothing itself"""
        turned = self.orientation >= 5
        self.size: tuple[int, int] = (sizes.height, sizes.width) if turned else (sizes.width, sizes.height)
        """width and height as displayed, in pixels"""

    def preview(self) -> bytes | None:
        """The largest JPEG inside."""
        import rawpy

        try:
            preview = self._libraw.extract_thumb()
        except Exception:
            return None
        return bytes(preview.data) if preview.format == rawpy.ThumbFormat.JPEG else None

    def develop(self) -> Image.Image:
        """sRGB, upright, with the camera's white balance; half as wide and high as `size` where a colour filter array
        allows it."""
        import rawpy
        from PIL import Image

        return Image.fromarray(
            self._libraw.postprocess(
                half_size=True, use_camera_wb=True, output_color=rawpy.ColorSpace.sRGB, gamma=(2.4, 12.92), output_bps=8
            )
        )


@contextlib.contextmanager
def open_raw(data: bytes) -> Iterator[Raw]:
    """Raises UnreadableFile without rawpy, and for a camera that LibRaw does not know."""
    try:
        import rawpy
    except ImportError:
        raise UnreadableFile("RAW needs rawpy: pip install 'vlsearch[raw]'") from None
    try:
        libraw = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawFileUnsupportedError:
        raise UnreadableFile("RAW file of a kind that LibRaw does not know") from None
    except rawpy.LibRawIOError:
        raise UnreadableFile("truncated file") from None
    with libraw:
        yield Raw(data, libraw)


def _tags(data: bytes) -> Image.Exif:
    """The EXIF of a RAW file that is a TIFF but for its first bytes, or of a CR3; else empty."""
    from PIL import Image

    tags = Image.Exif()
    with contextlib.suppress(Exception):
        if data[4:12] == b"ftypcrx ":
            return _cr3_tags(data)
        if data.startswith((b"IIRO", b"IIRS", b"IIU\0")):
            data = b"II*\0" + data[4:]
        tags.load_from_fp(io.BytesIO(data))
    return tags


def _cr3_tags(data: bytes) -> Image.Exif:
    """CR3 is no TIFF: three boxes at its start hold TIFFs of one IFD each: the image's tags, EXIF's and GPS's."""
    from PIL import Image

    tags = Image.Exif()
    for name, ifd in ((b"CMT1", None), (b"CMT2", 0x8769), (b"CMT4", 0x8825)):
        at = data.find(name, 0, 1 << 16)
        if at < 4:
            continue
        box = Image.Exif()
        box.load_from_fp(io.BytesIO(data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]))
        if ifd is None:
            tags.update(box)
        else:
            tags.get_ifd(ifd).update(box)
    return tags
