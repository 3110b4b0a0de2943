"""Finds the image files below a folder, whatever links, hidden files and odd names lie in it, in one stable order."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from whycam.data.given_names import NOTHING_GIVEN, GivenNames
from whycam.data.system_folders import count_files, is_system_file, why_no_data
from whycam.errors import DataError, printable
from whycam.types import Folder, Skipped

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"))
_UNSUPPORTED_SUFFIXES = """
.heic .heif .hif .avif .jxl .jp2 .j2k .jpx .jpf .jxr .wdp .dcm .dicom .dic .ima .dng .cr2 .cr3 .crw .nef .nrw .arw .srf
.sr2 .orf .rw2 .raf .raw .srw .pef .x3f .3fr .iiq .rwl .erf .kdc .mrw .tga .psd .psb .exr .hdr .pgm .ppm .pbm .pnm .pfm
.svg .ico .fits .fit .fts .npy .npz .mat .nii .mha .mhd .nrrd .czi .lif .nd2 .oib .svs .ndpi .mrxs .vsi .scn .dm3 .dm4
.ser .seq
"""
_UNSUPPORTED = frozenset(_UNSUPPORTED_SUFFIXES.split())
"""Suffixes of images that cannot be read here."""


@dataclass(frozen=True)
class Listing:
    """What lies below one folder."""

    root: Path
    files: dict[str, Path]
    """Image name, relative to the root and with forward slashes -> path; sorted by name."""
    folders: tuple[str, ...]
    """Names of all folders, relative to the root, sorted, less those that are left out."""
    left_out: tuple[Folder, ...]
    """Folders that were not searched, sorted by name."""
    skipped: tuple[Skipped, ...]
    """Folders that may not be read, links that cannot be followed, images of formats that cannot be read here or whose
    name another one has, and files that are no images; sorted by name within each cause."""


def is_image_name(name: str) -> bool:
    """Whether the suffix, in any case, is one of an image that can be decoded."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def why_unreachable(path: Path) -> str | None:
    """A sentence on why nothing can be done with this path (missing, a link to itself, no permission), else None."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"{printable(path)} does not exist."
    except OSError as error:
        return f"{printable(path)} cannot be read: {error.strerror or error}."
    # A name that no file can have: with a zero byte, or with half a character.
    except ValueError:
        return f"{printable(path)} does not exist."
    return None


def cannot_be_read(suffix: str) -> str:
    """What to say of images with this suffix, which belongs to a format that cannot be read here."""
    return f"{suffix} cannot be read here (convert to PNG or JPEG)"


def find_images(root: Path, given: GivenNames = NOTHING_GIVEN) -> Listing:
    """Every image file below `root`, at any depth; by suffix, no image is opened.

    Links are followed, and every folder is visited once: under its real name where it has one below `root`. Folders
    that are hidden or that systems and tools write (`why_no_data`) are not searched, unless `given` takes them in, and
    neither are those that it leaves out. Names are as `printable` gives them; paths are as on the disk. An image behind
    a broken link or one to itself is listed, so that the decoder says by name what is wrong.
    Raises DataError where `root` is missing, not a folder or out of reach.
    """
    if problem := why_unreachable(root):
        raise DataError(problem)
    if not root.is_dir():
        raise DataError(f"{printable(root)} is a file; expected a folder of images or a CSV table.")
    found: dict[str, Path] = {}
    folders: list[str] = []
    left_out: list[Folder] = []
    skipped: list[Skipped] = []
    visited: set[tuple[int, int]] = set()
    # Links to folders wait until all real folders are done, so that a link never takes a real folder's images.
    real, links = deque([root]), deque[Path]()
    while real or links:
        folder = real.popleft() if real else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(Skipped(_name(folder, root), f"folder cannot be read: {error.strerror or error}"))
            continue
        if folder != root:
            folders.append(_name(folder, root))
        for entry in entries:
            path = folder / entry.name
            name = _name(path, root)
            kind = _kind(entry)
            if kind == "folder":
                meaning = given.meaning(name)
                why = given.why("left out") if meaning == "left out" else None if meaning else why_no_data(path)
                if why is None:
                    (links if entry.is_symlink() else real).append(path)
                else:
                    left_out.append(Folder(name, "left out", count_files(path, IMAGE_SUFFIXES), why=why))
            elif is_system_file(entry.name):
                skipped.append(Skipped(name, "a file of the system, or a hidden one", "no image"))
            elif is_image_name(entry.name) and kind != "other":
                # `a\xff.png` may be the name of one file, and what is shown for another.
                if name in found:
                    skipped.append(Skipped(name, "another image's name reads the same"))
                else:
                    found[name] = path
            elif kind in ("file", "dangling", "other"):
                skipped.append(_other(name, path if kind == "file" else None))
            else:
                skipped.append(Skipped(name, f"link cannot be followed: {kind}"))
    return Listing(
        root=root,
        files=dict(sorted(found.items())),
        folders=tuple(sorted(folders)),
        left_out=tuple(sorted(left_out, key=lambda item: item.name)),
        skipped=tuple(sorted(skipped, key=lambda item: (item.cause, item.file))),
    )


def _other(name: str, path: Path | None) -> Skipped:
    """What a file without the suffix of an image is, as far as its name tells, or the first bytes of a nameless one."""
    suffix = ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name.lower()).suffix
    if suffix in _UNSUPPORTED or suffix == ".nii.gz":
        return Skipped(name, cannot_be_read(suffix), "unsupported")
    # Scanners name DICOM files by numbers, 1.2.840.10008 or IM0001.
    if path is not None and (not suffix or suffix[1:].isdigit()) and _is_dicom(path):
        return Skipped(name, cannot_be_read("DICOM"), "unsupported")
    return Skipped(name, f"no image ({suffix})" if suffix else "no image", "no image")


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, `dangling` (a link to nothing), `other` (a pipe, a socket), or why that cannot be told."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
    except FileNotFoundError:
        return "dangling"
    except OSError as error:
        return error.strerror or str(error)
    return "other"


def _name(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())
