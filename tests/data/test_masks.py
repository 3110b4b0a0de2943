"""Masks as they come: any depth and mode, empty, larger than the model's input, damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whycam.data.masks import read_mask, read_masks
from whycam.errors import ImageError
from whycam.types import Sample

DEFECT = np.zeros((12, 16), dtype=bool)
DEFECT[3:6, 10:14] = True


def saved(folder: Path, picture: Image.Image, name: str = "mask.png") -> Path:
    picture.save(folder / name)
    return folder / name


def palette_picture() -> Image.Image:
    picture = Image.new("P", (16, 12))
    picture.putdata((DEFECT.astype(np.uint8) * 3).ravel().tolist())
    picture.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 128])
    return picture


PICTURES = {
    "bits": Image.fromarray(DEFECT),
    "ones": Image.fromarray(DEFECT.astype(np.uint8)),
    "full": Image.fromarray(DEFECT.astype(np.uint8) * 255),
    "sixteen bits of 1": Image.fromarray(DEFECT.astype(np.uint16)),
    "blue only": Image.fromarray(np.stack([0 * DEFECT, 0 * DEFECT, DEFECT], axis=2).astype(np.uint8)),
    "opaque": Image.fromarray(np.stack([DEFECT * 255] * 3 + [0 * DEFECT + 255], axis=2).astype(np.uint8)),
    "transparent": Image.fromarray(np.stack([DEFECT * 255] * 3 + [0 * DEFECT], axis=2).astype(np.uint8)),
    "grey and transparent": Image.fromarray(np.stack([DEFECT, DEFECT], axis=2).astype(np.uint8)),
    "palette": palette_picture(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_whatever_is_not_zero_is_defective(name: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path, PICTURES[name]), (12, 16)), DEFECT)


def test_jpeg_is_cut_in_the_middle(tmp_path: Path) -> None:
    large = np.roll(np.kron(DEFECT, np.ones((8, 8))), 3, axis=(0, 1)).astype(np.uint8) * 255
    path = saved(tmp_path, Image.fromarray(large), "mask.jpg")
    smeared = np.asarray(Image.open(path)) > 0
    assert smeared.sum() > (large > 0).sum()
    np.testing.assert_array_equal(read_mask(path, (96, 128)), large > 0)


def test_it_is_resized_by_its_nearest_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path, PICTURES["full"])
    np.testing.assert_array_equal(read_mask(path, (24, 48)), np.kron(DEFECT, np.ones((2, 3))) > 0)
    np.testing.assert_array_equal(read_mask(path, (4, 16)), DEFECT[1::3])  # the middle of each three rows


def test_an_unreadable_mask_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("broken.png", "text.png", "gone.png"):
        with pytest.raises(ImageError):
            read_mask(tmp_path / name, (8, 8))


def test_masks_of_samples(tmp_path: Path) -> None:
    full = saved(tmp_path, PICTURES["full"], "full.png")
    empty = saved(tmp_path, Image.new("L", (16, 12)), "empty.png")
    speck = np.zeros((120, 160), dtype=np.uint8)
    speck[0, 0] = 255
    lost = saved(tmp_path, Image.fromarray(speck), "lost.png")

    def sample(name: str, mask: Path | None, target: float = 1.0) -> Sample:
        return Sample(name, tmp_path / name, target=target, mask=mask)

    samples = [
        sample("a", full),
        sample("b", None),
        sample("c", empty, 0.0),
        sample("d", lost),
        sample("e", tmp_path / "gone.png"),
        sample("f", full),
    ]
    found = read_masks(samples, (12, 16))
    assert [one.file for one in found.samples] == ["a", "f"]
    np.testing.assert_array_equal(found.masks[1], DEFECT)
    assert len(found.notes) == 2
    assert "1 mask could not be read, first that of e (file not found)." in found.notes
    assert any(note.startswith("1 anomalous image without any defective pixel") for note in found.notes)
    assert read_masks(samples[1:3], (12, 16)).notes == ()
