"""What to answer where folder names leave it open what is normal: the very command that says it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from whycam.data.words import counted, seems
from whycam.errors import printable
from whycam.types import Reading

EXPECTED = "normal/ and anomalous/ (or good/, ok/ and bad/, defect/, or one folder for each kind of defect)"
_MOST = 8


def listed(folders: Sequence[str], most: int = _MOST) -> str:
    """`bad/, crack/ and 3 more`."""
    names = [f"{name}/" for name in sorted(folders)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def command(root: Path, reading: Reading, **added: Sequence[str]) -> str:
    """The command that was typed, or the audit of these data, with what is `added`, to be pasted into a shell."""
    parts = list(reading.typed) or ["whycam", "audit", str(root) if not str(root).startswith("-") else f"./{root}"]
    for option in ("normal", "anomalous", "leave_out"):
        said = () if reading.typed else getattr(reading, option)
        for name in (*said, *added.get(option, ())):
            flag = f"--{option.replace('_', '-')}"
            # What begins with a hyphen would be taken for an option.
            parts += [f"{flag}={name}"] if name.startswith("-") else [flag, name]
    return printable(shlex.join(parts))


def ask_about(root: Path, reading: Reading, folders: Mapping[str, int]) -> str:
    """One line on folders beside normal ones that are not anomalous by their names; with their numbers of images."""
    normal = [name for name in folders if seems(name) == "normal"]
    unsure = [name for name in folders if name not in normal]
    held = ", ".join(f"{name}/ ({counted(n, 'image')})" for name, n in folders.items())
    one = len(folders) == 1
    said = "reads like a folder of normal images" if normal else "is neither normal nor anomalous by its name"
    if not one:
        said = "are not known to be anomalous by their names"
    first = {"normal": " and ".join(f"{name}/ is normal" for name in normal)} if normal else {}
    if unsure:
        first["unsure"] = "it is" if one else f"{listed(unsure)} is" if len(unsure) == 1 else f"{listed(unsure)} are"
        first["unsure"] += " to be left out"
    return (
        f"{held} in {printable(root)} {said}, and WhyCAM does not guess. If {' and '.join(first.values())}: "
        f"{command(root, reading, normal=normal, leave_out=unsure)} . "
        f"If {'it is a kind' if one else 'they are kinds'} of anomaly: "
        f"{command(root, reading, anomalous=list(folders))}"
    )


def no_normal(root: Path, reading: Reading, folders: Mapping[str, float | None], where: str) -> str:
    """One line where no folder is known to hold normal images; `folders` are those found, with their targets."""
    unknown = [name for name, target in folders.items() if target is None]
    groups = {meaning: [name for name in unknown if seems(name) == meaning] for meaning in ("normal", "unsure")}
    rest = [name for name in unknown if name not in groups["normal"] and name not in groups["unsure"]]
    if not groups["normal"]:
        told = [name for name in rest if seems(name) == "anomalous"]
        others = [name for name in rest if name not in told]
        # Where all but one are known to be anomalous, that one is what is left.
        if len(others) == 1 and (told or 1.0 in folders.values()):
            groups["normal"], rest = others, told
    text = f"No folder of normal images in {where}: found {listed(list(folders))}; expected {EXPECTED}."
    if groups["normal"]:
        said = command(root, reading, normal=groups["normal"], anomalous=rest, leave_out=groups["unsure"])
        return f"{text} If this is what the names mean: {said}"
    example = command(root, reading, normal=["NAME"])
    if len(folders) > 1:
        return f"{text} If one of them is normal, say so, and the others count as anomalous: {example}"
    # Images of one class are enough to test on.
    name = list(folders)
    return (
        f"{text} If it holds normal images: {command(root, reading, normal=name)} . "
        f"If it holds anomalous ones: {command(root, reading, anomalous=name)}"
    )
