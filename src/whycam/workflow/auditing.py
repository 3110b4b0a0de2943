"""What is wrong with a folder of images, before anything is trained on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from whycam.admission import check_several, readable
from whycam.atomic import write_text
from whycam.audits.audit import Audit
from whycam.data.facts import gather
from whycam.data.samples import check_classes, open_dataset
from whycam.data.split import check_seed
from whycam.errors import RunError
from whycam.networks.device import check_device
from whycam.progress import SILENT, Progress
from whycam.report.audit_words import to_json
from whycam.run_folder import AUDIT
from whycam.training.recipe import DEFAULT
from whycam.types import AS_USUAL, Dataset, Reading


def audit(
    data: str | Path | Dataset,
    *,
    out: str | Path | None = None,
    reading: Reading = AS_USUAL,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Audit:
    """Look for copies and leaks, shortcuts, wrong labels and bad images among labelled images.

    Args:
        data: a folder, a CSV file (both as described in the documentation), or samples already found.
        out: a folder, new or empty, that gets audit.html and audit.json; None to write nothing.
        reading: what names and columns mean where they are not the usual ones.
        seed: of all drawings; the same seed gives the same findings.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        DataError, OptionError, RunError: the text says what is wrong and what to do.
    """
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists already: name a new folder with --out.")
    check_device(device)
    check_seed(seed)
    found = data if isinstance(data, Dataset) else open_dataset(data, reading)
    check_classes(found, DEFAULT.fewest)
    # These import torch and scikit-learn, which takes seconds: most mistakes have been told by now.
    from whycam.audit_cache import audit_once
    from whycam.auditing import features_of, pictured

    dataset, pixels = readable(found, DEFAULT.size_hw, strict=False, progress=progress)
    check_classes(dataset, DEFAULT.fewest)
    check_several(dataset, pixels)
    audited = audit_once(dataset, pixels, features_of(DEFAULT), seed=seed, device=device, progress=progress).audit
    # An audit that was made before knows nothing of what was left out this time.
    audited = replace(audited, data=gather(dataset))
    if folder is not None:
        from whycam.report.audited import write_audit_page

        folder.mkdir(parents=True, exist_ok=True)
        shown = pictured(audited, dataset, pixels)
        write_audit_page(
            folder,
            audited,
            title=dataset.root.resolve().name or str(dataset.root),
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            pictures=shown.pictures if shown else {},
            samples=dataset.samples,
        )
        write_text(folder / AUDIT, to_json(audited))
    return audited
