"""How data were read, as people read it: one block, the same in the terminal and on the pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from whycam.data.facts import DataFacts
from whycam.errors import printable
from whycam.report.words import count, images
from whycam.types import Folder, Looks, MaskFacts, Skipped, WideValues

MOST_FOLDERS = 12
MOST_NAMED = 8
"""So many folders, and files of one reason, are named; all of them are in the JSON."""
_MOST_SIZES = 4
_ORDER = ("unreadable", "unsupported", "unplaced", "no image")
Line = tuple[str, str]
"""A label of at most nine letters, empty where the line goes on with the one above, and what to say."""


def data_lines(facts: DataFacts, split: str = "") -> tuple[Line, ...]:
    """Everything about the data; `split` says in a sentence how it came about, where one was needed."""
    n = facts.n_normal + facts.n_anomalous
    told = [
        ("Data", f"{images(n)} in {facts.root} ({facts.layout})"),
        ("Classes", f"{count(facts.n_normal)} normal, {count(facts.n_anomalous)} anomalous{_kinds(facts)}"),
    ]
    used = [folder for folder in facts.folders if folder.meaning != "left out"]
    told += _continued("Folders", _folders(used))
    told.append(("Split", split_sentence(facts, split)))
    told.append(("Groups", groups_sentence(facts)))
    if facts.looks.sizes:
        told.append(("Sizes", sizes_sentence(facts)))
    if facts.looks.bit_depths:
        told.append(("Depths", ", ".join(f"{name} ({count(n)})" for name, n in facts.looks.bit_depths)))
    if facts.looks.values is not None:
        n_others = n - facts.looks.values.n
        told.append(("Values", values_sentence(facts.looks.values, n_others)))
    told += _continued("Pixels", remark_lines(facts.looks))
    if facts.looks.masks is not None:
        told += _continued("Masks", mask_lines(facts.looks.masks))
    told += left_out_lines(facts)
    told += _continued("Note", facts.notes)
    return tuple(told)


def left_out_lines(facts: DataFacts) -> tuple[Line, ...]:
    """What was left out: whole folders, and files by reason, each named up to a sensible number."""
    folders = [folder for folder in facts.folders if folder.meaning == "left out"]
    told = [*_folders(folders), *(text for text, _ in reasons(facts.left_out))]
    return tuple(_continued("Left out", told))


def reasons(left_out: Iterable[Skipped]) -> tuple[tuple[str, tuple[Skipped, ...]], ...]:
    """(one line, the files) for every cause: files that cannot be read with their reasons, others by reason."""
    by_cause: dict[str, list[Skipped]] = defaultdict(list)
    for item in left_out:
        by_cause[item.cause].append(item)
    told = []
    for cause in _ORDER:
        items = by_cause[cause]
        by_reason: dict[str, list[Skipped]] = defaultdict(list)
        for item in items:
            by_reason[item.reason].append(item)
        if cause == "unreadable" and items:
            named = _names([f"{item.file} ({item.reason})" for item in items])
            told.append((f"{_files(len(items))} cannot be read: {named}", tuple(items)))
            continue
        told += [
            (f"{_files(len(same))}, {reason}: {_names([item.file for item in same])}", tuple(same))
            for reason, same in by_reason.items()
        ]
    return tuple(told)


def rows(facts: DataFacts, split: str = "") -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The same as (label, all its lines), for a page."""
    told: dict[str, list[str]] = {}
    label = ""
    for name, text in data_lines(facts, split):
        label = name or label
        told.setdefault(label, []).append(printable(text))
    return tuple((name, tuple(texts)) for name, texts in told.items())


def folder_line(folder: Folder) -> str:
    """`bad/crack/: anomalous, kind crack, train, 12 images`."""
    n = _counted(folder.n, "mask") if folder.meaning == "masks" else images(folder.n)
    kind = f"kind {folder.kind}" if folder.kind else ""
    left_out = folder.meaning == "left out"
    meaning, why = (folder.why, "") if left_out else (folder.meaning, folder.why)
    facts = ", ".join(filter(None, (meaning, kind, folder.split or "", n)))
    return f"{folder.name or '.'}/: {facts}{f' ({why})' if why else ''}"


def split_sentence(facts: DataFacts, split: str = "") -> str:
    """Which images are for training and testing, and where that comes from."""
    dropped = f"The split of the data was dropped: {facts.split_dropped}." if facts.split_dropped else ""
    if facts.split_from in ("", "drawn"):
        return " ".join(filter(None, (split or ("" if dropped else "none given; a training draws one"), dropped)))
    return split or f"{count(facts.n_train)} to train, {count(facts.n_test)} to test, given by the {facts.split_from}"


def groups_sentence(facts: DataFacts) -> str:
    """What belongs together, and where that comes from."""
    if not facts.n_groups:
        return "none given: every image stands for itself, unless copies are found"
    return f"{_counted(facts.n_groups, 'group')}, from {facts.groups_from or 'the data'}"


def sizes_sentence(facts: DataFacts) -> str:
    """`96 x 96 (40), 64 x 64 (2) and 3 other sizes`: width and height in pixels."""
    sizes = facts.looks.sizes
    named = ", ".join(f"{w} x {h} ({count(n)})" for (w, h), n in sizes[:_MOST_SIZES])
    more = len(sizes) - _MOST_SIZES
    return named + (f" and {_counted(more, 'other size')}" if more > 0 else "") + " pixels, width x height"


def values_sentence(values: WideValues, n_others: int = 0) -> str:
    """The values of images of more than 8 bits a sample, and which of them are black and white.

    `n_others` is the number of images that have 8 bits or fewer.
    """
    held = f"{values.lowest:g} to {values.highest:g} in the {images(values.n)} of more than 8 bits; "
    if values.found == "full range":
        return f"{held}black and white are the ends of the range of their type"
    rest = f"; {images(n_others)} of 8 bits or fewer {'is' if n_others == 1 else 'are'} read as stored"
    return (
        f"{held}black is {values.black:g}, white is {values.white:g} ({values.found}), the same for all of these, also "
        f"later ones{rest if n_others else ''}"
    )


_REMARKS = {
    "alpha ignored": "transparency that would hide every pixel is ignored",
    "bands ignored": "bands of unknown meaning beside the colours are ignored",
    "inverted": "white is stored as the lowest value, and read so",
    "first page": "only the first page or frame is read",
    "below levels": "some values are darker than black, and shown as black",
    "above levels": "some values are brighter than white, and shown as white",
    "eight bits": "they have 8 bits a sample, where all training images have more: their brightness may be on another "
    "scale",
    "wide": "they have more than 8 bits a sample, where all training images have 8: their brightness may be on another "
    "scale",
}


def remark_lines(looks: Looks) -> tuple[str, ...]:
    """What was changed or left out of pixels, by name."""
    return tuple(f"{_REMARKS[code]}: {images(len(files))}, {_names(files)}" for code, files in looks.remarks)


def mask_lines(masks: MaskFacts) -> tuple[str, ...]:
    """How many masks there are, and each thing that is odd about them, by name."""
    told = [f"{images(masks.n)} with a mask of the true defect"]
    if masks.unreadable:
        named = _names([f"{item.file} ({item.reason})" for item in masks.unreadable])
        told.append(f"{count(len(masks.unreadable))} cannot be read: {named}")
    if masks.empty:
        verb = "shows" if len(masks.empty) == 1 else "show"
        told.append(f"{count(len(masks.empty))}{_opened(masks)} {verb} no defect at all: {_names(masks.empty)}")
    n = len(masks.inverted)
    if n:
        opened = _opened(masks)
        if n == masks.n_opened and n > 1:
            told.append(
                f"all {count(n)}{opened} cover more than half of their image, as inverted masks do (white where "
                f"nothing is wrong): heatmaps are not measured by them; invert them: {_names(masks.inverted)}"
            )
        else:
            verb = "covers more than half of its image" if n == 1 else "cover more than half of their image"
            told.append(f"{count(n)}{opened} {verb} and may be inverted: {_names(masks.inverted)}")
    if masks.other_aspect:
        named = _names([f"{file} ({_by(mask)}, image {_by(image)})" for file, mask, image in masks.other_aspect])
        told.append(f"{count(len(masks.other_aspect))} of another aspect than the image, so stretched over it: {named}")
    if masks.turned:
        told.append(
            f"{count(len(masks.turned))} drawn on stored pixels that EXIF turns, as their size shows, so turned with "
            f"the image: {_names(masks.turned)}"
        )
    if masks.assumed_upright:
        told.append(
            f"{count(len(masks.assumed_upright))} of images that EXIF turns or mirrors, where the size does not show "
            f"which pixels were drawn on; taken for upright, as people see them: {_names(masks.assumed_upright)}"
        )
    return tuple(told)


def _opened(masks: MaskFacts) -> str:
    return "" if masks.n_opened == masks.n else f" of {count(masks.n_opened)} looked at"


def _kinds(facts: DataFacts) -> str:
    if not facts.kinds:
        return ""
    named = ", ".join(f"{kind} {count(n)}" for kind, n in facts.kinds[:MOST_FOLDERS])
    more = len(facts.kinds) - MOST_FOLDERS
    return f" ({named}{f' and {count(more)} more kinds' if more > 0 else ''})"


def _folders(folders: Sequence[Folder]) -> list[str]:
    told = [folder_line(folder) for folder in folders[:MOST_FOLDERS]]
    more = len(folders) - MOST_FOLDERS
    return told + ([f"and {_counted(more, 'more folder')}"] if more > 0 else [])


def _names(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {count(more)} more" if more > 0 else "")


def _continued(label: str, texts: Iterable[str]) -> list[Line]:
    return [(label if at == 0 else "", text) for at, text in enumerate(texts)]


def _by(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]} x {size_wh[1]}"


def _files(n: int) -> str:
    return _counted(n, "file")


def _counted(n: int, thing: str) -> str:
    return f"{count(n)} {thing}{'' if n == 1 else 's'}"
