"""Why a file is no image that can be read, in one plain phrase: a wrong reason sends people the wrong way."""

from __future__ import annotations

from whycam.data import tiff_tags as tag
from whycam.data.tiff_tags import Page

_JPEG = b"\xff\xd8\xff"
_UNREADABLE = "not a readable JPEG, PNG, BMP, WebP, TIFF or GIF image"
_OTHER_KINDS = (
    (4, (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    (4, (b"ftypavif", b"ftypavis"), "AVIF"),
    (0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JPEG 2000"),
    (0, (b"\0\0\0\x0cJXL ", b"\xff\x0a"), "JPEG XL"),
    (0, (b"\xff\xd8\xff\xf7",), "JPEG-LS"),
    (128, (b"DICM",), "DICOM"),
    (0, (b"8BPS",), "Photoshop"),
    (0, (b"%PDF",), "PDF"),
    (0, (b"SIMPLE  =",), "FITS"),
    (0, (b"\x93NUMPY",), "NumPy"),
)
"""Where a signature stands, what it may be, and whose it is."""


def why_unidentified(data: bytes, page: Page | None) -> str:
    """Why Pillow finds no image in these bytes; `page` where they are a TIFF."""
    if page is not None:
        under = tag.COMPRESSIONS[page.number(tag.COMPRESSION, 1)]
        name = tag.PHOTOMETRICS[page.number(tag.PHOTOMETRIC, 6)]
        return f"TIFF of {page.n_samples} bands of {page.bits}-bit {name} under {under} compression, which is not read"
    for at, signatures, name in _OTHER_KINDS:
        if data[at:].startswith(signatures) if at == 0 else data[at : at + 16].startswith(signatures):
            return f"a file in {name} format, which is not read: convert it to PNG, JPEG or TIFF"
    if data[:3] == _JPEG and (why := _why_no_jpeg(data)):
        return why
    return _UNREADABLE


def _why_no_jpeg(data: bytes) -> str:
    """What keeps a JPEG from being read, where its frame header says so: bits a sample, or a rare process."""
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if data[at + 4] != 8:
                return f"a JPEG with {data[at + 4]} bits a sample, which is not read: convert it to 16-bit PNG or TIFF"
            return "" if marker in (0xC0, 0xC1, 0xC2) else "a lossless JPEG, which is not read: convert it to PNG"
        at += 2 + length
    return ""


def reason(error: Exception, data: bytes) -> str:
    """What an exception means that came from within a decoder of these bytes."""
    if data[:3] == _JPEG and (why := _why_no_jpeg(data)):
        return why
    text = " ".join(str(error).split())[:120]
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if "truncated" in text.lower():
        return "truncated: the file ends before the picture does"
    return f"damaged: {text or type(error).__name__}"
