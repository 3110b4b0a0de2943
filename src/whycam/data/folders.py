"""Reads labels, splits and masks from how images lie in folders, so that most users need no table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whycam.data.given_names import GivenNames
from whycam.data.listing import Listing, find_images
from whycam.data.mask_names import in_mask_folder, masks_apart, with_masks
from whycam.data.suggestions import ask_about, listed, no_normal
from whycam.data.words import class_target, counted, is_validation, plain, seems, split_and_rest, split_name
from whycam.errors import DataError, OptionError, printable
from whycam.types import AS_USUAL, Dataset, Folder, Reading, Sample, Skipped, Split

_GUESSED = "beside a normal folder"


def read_folders(root: Path, reading: Reading = AS_USUAL) -> Dataset:
    """The images below `root` with what their folders say about them, sorted by name.

    Layouts, with the usual synonyms in any case: class folders `normal/` and `anomalous/`; any other folder beside a
    normal one is anomalous and names the kind, as does a folder inside an anomalous one; `train/` and `test/` (and
    `val/`, which counts as train) above or inside class folders; MVTec's `train/good`, `test/<kind>`,
    `ground_truth/<kind>`; `train_good/` and `test_bad/`. Names in `reading` win over all that. Masks in
    `ground_truth/`, `masks/` or beside their image (`x_mask.png`) are attached to anomalous images by name. A split
    that leaves train without one of the classes, or test without images, is dropped.

    Raises DataError where there is no folder, no image, no folder of normal images, a name in `reading` that no folder
    has, or no telling what a folder is; OptionError where `reading` contradicts itself or names columns.
    """
    given = GivenNames(reading)
    for option, column in (("--group-column", reading.group_column), ("--split-column", reading.split_column)):
        if column is not None:
            raise OptionError(f"{option} names a column of a table, but {printable(root)} is read by its folders.")
    listing = find_images(root, given)
    given.check_all_found((*listing.folders, *(item.name for item in listing.left_out)), printable(root))
    if not listing.files:
        raise DataError(_nothing(listing))
    mask_files, images = masks_apart(listing.files, given)
    reader = _Reader(given, _split_folders(listing, given), both=_say_both(listing, given))
    _check_layout(listing, images, reader)

    samples: list[Sample] = []
    skipped: list[Skipped] = []
    for file in images:
        place = reader.place(file.rpartition("/")[0])
        if place.outside:
            skipped.append(Skipped(file, "not in the train or test folder", "unplaced"))
        elif place.target is None:
            skipped.append(Skipped(file, "not in a class folder", "unplaced"))
        else:
            samples.append(Sample(file, listing.files[file], target=place.target, split=place.split, kind=place.kind))
    samples, lost, mask_folders = with_masks(samples, mask_files, listing.files)
    dataset = Dataset(
        root=root,
        layout=_layout(listing, reader),
        samples=tuple(samples),
        skipped=(*listing.skipped, *skipped, *lost),
        folders=(*_classes(listing, images, reader), *mask_folders, *listing.left_out),
        split_from="folders" if any(sample.split for sample in samples) else "",
        notes=tuple(
            f"The folder {name}/ counts as train." for name in sorted({name for name in reader.validation if name})
        ),
    )
    useless = _useless(samples)
    return dataset.without_split(useless) if useless else dataset


@dataclass(frozen=True)
class _Place:
    """What the folders of an image say."""

    name: str = ""
    """The path down to the last folder that says something."""
    target: float | None = None
    kind: str | None = None
    split: Split | None = None
    why: str = ""
    outside: bool = False
    """In no train or test folder, although there are some at the top."""
    level: str = ""
    """The path of the folder that gives the class."""


class _Reader:
    """Reads the folders of an image from the top: split and class in either order, then the kind."""

    def __init__(self, given: GivenNames, splits: Mapping[str, Split], *, both: bool) -> None:
        self.given = given
        self.both = both
        """Whether one name gives split and class, as `train_good` does."""
        self.splits = splits
        """The top folders that give the split; empty where it is inside the class folders, or nowhere."""
        self.validation: set[str] = set()
        self._places: dict[str, _Place] = {}

    def place(self, folder: str) -> _Place:
        """What is known of the images in this folder, by its path below the root."""
        if folder not in self._places:
            outer, _, name = folder.rpartition("/")
            self._places[folder] = self._next(self.place(outer), folder, name) if folder else _Place()
        return self._places[folder]

    def _next(self, outer: _Place, path: str, name: str) -> _Place:
        if outer.outside:
            return outer
        meaning = self.given.meaning(path)
        if meaning == "normal":
            return replace(outer, name=path, target=0.0, kind=None, why=self.given.why(meaning), level=path)
        if meaning == "anomalous":
            kind = None if class_target(name) == 1.0 else name
            return replace(outer, name=path, target=1.0, kind=kind, why=self.given.why(meaning), level=path)
        side = split_name(name)
        if "/" not in path and self.splits:
            if side is None:
                return replace(outer, outside=True)
            self._note_validation(path, name)
            return replace(outer, name=path, split=side)
        if side is not None and outer.split is None and outer.target is not None:
            self._note_validation(path, name)
            return replace(outer, name=path, split=side)
        if self.both and outer.target is None and outer.split is None and (parts := split_and_rest(name)):
            word, rest = parts
            self._note_validation(path, word)
            outer, name = replace(outer, split=split_name(word)), rest
        if outer.target is None:
            target = class_target(name)
            if target is None:
                return replace(outer, name=path, target=1.0, kind=name, why=_GUESSED, level=path)
            return replace(outer, name=path, target=target, level=path)
        if outer.target == 1.0 and outer.kind is None and not outer.why.startswith("named"):
            return replace(outer, name=path, kind=name)
        return outer

    def _note_validation(self, path: str, name: str) -> None:
        if is_validation(name):
            self.validation.add(path)


def _nothing(listing: Listing) -> str:
    """Why there is no image at all."""
    root = printable(listing.root)
    if unsupported := [item for item in listing.skipped if item.cause == "unsupported"]:
        return f"{root} holds {all_of(unsupported)}."
    others = sum(item.cause == "no image" for item in listing.skipped)
    among = f" among {counted(others, 'other file')}" if others else ""
    hidden = sum(item.n for item in listing.left_out)
    inside = (
        f" ({counted(hidden, 'image')} in {listed([item.name for item in listing.left_out])} left out)"
        if hidden
        else ""
    )
    return f"{root} holds no image{among}{inside}; images end in .jpg, .png, .bmp, .webp, .tif or .gif."


def all_of(unsupported: Sequence[Skipped]) -> str:
    """`20 files, all .heic, which cannot be read here: convert them to PNG or JPEG`."""
    kinds = Counter(item.reason.split(" ", 1)[0] for item in unsupported).most_common()
    if len(kinds) == 1:
        named = f"{counted(len(unsupported), 'file')}, {'all' if len(unsupported) > 1 else 'a'} {kinds[0][0]}"
    else:
        named = f"{len(unsupported):,} files, " + ", ".join(f"{n} {kind}" for kind, n in kinds)
    return f"{named}, which cannot be read here: convert {'them' if len(unsupported) > 1 else 'it'} to PNG or JPEG"


def _split_folders(listing: Listing, given: GivenNames) -> dict[str, Split]:
    tops = [name for name in listing.folders if "/" not in name and given.meaning(name) is None]
    holding = {file.partition("/")[0] for file in listing.files}
    return {name: side for name in tops if name in holding and (side := split_name(name))}


def _say_both(listing: Listing, given: GivenNames) -> bool:
    """Whether folders are named by split and class together, which a normal one makes certain."""
    parts = [split_and_rest(name.rpartition("/")[2]) for name in listing.folders if given.meaning(name) is None]
    return any(part is not None and class_target(part[1]) == 0.0 for part in parts)


def _check_layout(listing: Listing, images: Sequence[str], reader: _Reader) -> None:
    root = printable(listing.root)
    splits = reader.splits
    top_normal = [
        name
        for name in listing.folders
        if "/" not in name and (reader.given.meaning(name) or class_target(name)) in ("normal", 0.0)
    ]
    if splits and top_normal:
        raise DataError(
            f"{root} holds both class folders ({listed(top_normal)}) and split folders ({listed(list(splits))}); "
            "put the class folders into train/ and test/, or take the split folders out."
        )
    places = [reader.place(file.rpartition("/")[0]) for file in images]
    if any(place.target == 0.0 for place in places):
        _check_open_questions(listing.root, places, reader.given.reading)
        return
    if top_normal:
        lost = [item for item in listing.skipped if item.failed and item.file.partition("/")[0] in top_normal]
        why = f": {all_of(lost)}" if lost and all(item.cause == "unsupported" for item in lost) else ""
        raise DataError(f"The folder {listed(top_normal)} in {root} holds no image{why}.")
    # Images of one class alone are enough to test on; for training `check_classes` names what is missing.
    if places and all(place.target == 1.0 and place.why != _GUESSED for place in places):
        return
    where = f"{listed(list(splits))} in {root}" if splits else root
    found = {place.level.rpartition("/")[2]: None if place.why else place.target for place in places if place.level}
    found = found or ({} if splits else dict.fromkeys(name for name in listing.folders if "/" not in name))
    if not found:
        text = f"No folder of normal images in {where}: found {counted(len(images), 'image')} in no folder."
        raise DataError(f"{text} Put normal images into normal/ and anomalous ones into anomalous/.")
    if inner := _normal_deeper(images):
        deeper = printable(listing.root / inner)
        raise DataError(
            f"No folder of normal images in {where}: found {listed(list(found))}. "
            f"There are such folders in {deeper}: give that folder instead."
        )
    raise DataError(no_normal(listing.root, reader.given.reading, found, where))


def _check_open_questions(root: Path, places: Iterable[_Place], reading: Reading) -> None:
    guessed = Counter(place.level.rpartition("/")[2] for place in places if place.why == _GUESSED)
    questions = {name: n for name, n in sorted(guessed.items()) if seems(name) in ("normal", "unsure")}
    if questions:
        raise DataError(ask_about(root, reading, questions))


def _normal_deeper(images: Iterable[str]) -> str | None:
    for file in images:
        folders = file.split("/")[:-1]
        for depth, folder in enumerate(folders):
            if depth and class_target(folder) == 0.0:
                outer = folders[:depth]
                return "/".join(outer[:-1] if split_name(outer[-1]) else outer) or None
    return None


def _layout(listing: Listing, reader: _Reader) -> str:
    if not reader.splits:
        return "class folders"
    mvtec = any(plain(folder) == "groundtruth" for folder in listing.folders)
    return "MVTec folders" if mvtec else "train and test folders"


def _classes(listing: Listing, images: Sequence[str], reader: _Reader) -> list[Folder]:
    """The folders that say what their images are, those included whose images cannot be read."""
    found: dict[str, tuple[_Place, int]] = {}
    named = [folder for folder in listing.folders if reader.given.meaning(folder) or class_target(folder) is not None]
    unread = [item.file.rpartition("/")[0] for item in listing.skipped if item.failed]
    for folder, n in [(file.rpartition("/")[0], 1) for file in images] + [(folder, 0) for folder in (*named, *unread)]:
        place = reader.place(folder)
        if not n and in_mask_folder(folder, reader.given):
            continue
        if place.target is not None and not place.outside:
            found[place.name] = (place, found.get(place.name, (place, 0))[1] + n)
    return [
        Folder(name, "anomalous" if place.target else "normal", n, kind=place.kind, split=place.split, why=place.why)
        for name, (place, n) in sorted(found.items())
        if n or not any(other.startswith(f"{name}/") for other in found)
    ]


def _useless(samples: Sequence[Sample]) -> str:
    """Why the folders' own split cannot be used; empty where it can, or where there is none."""
    without = [sample.file for sample in samples if sample.split is None]
    train = [sample.anomalous for sample in samples if sample.split == "train"]
    if len(without) == len(samples):
        return ""
    if without:
        verb = "lies" if len(without) == 1 else "lie"
        return f"{counted(len(without), 'image')} {verb} in no train or test folder, such as {without[0]}"
    if len(train) == len(samples):
        return "there is no labelled image for testing"
    if not train:
        return "there is no labelled image for training"
    if True not in train:
        return "the train folder holds no anomalous image"
    return "" if False in train else "the train folder holds no normal image"
