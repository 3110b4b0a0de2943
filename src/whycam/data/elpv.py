"""The embedded example data: 2,624 photos of solar cells, read from the package `elpv-dataset` without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from whycam.errors import DataError, MissingDependencyError
from whycam.types import Dataset, Sample

LICENCE = "CC BY-NC-SA 4.0"
SOURCE = (
    "ELPV dataset, Deitsch et al., 'Automatic classification of defective photovoltaic module cells in "
    "electroluminescence images', Solar Energy 2019; github.com/zae-bayern/elpv-dataset"
)


def elpv_dataset() -> Dataset:
    """2,624 grey images of 300 x 300 pixels; target = probability of a defect (0, 1/3, 2/3 or 1), kind mono or poly.

    Licence and origin are in LICENCE and SOURCE. Raises MissingDependencyError where the package is not installed.
    """
    spec = find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError('The example data are not installed: pip install "whycam[demo]"')
    root = Path(next(iter(spec.submodule_search_locations)))
    table = root / "data" / "labels.csv"
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"The package elpv-dataset has no {table}; install it again.") from error
    rows = (line.split() for line in lines if line.strip())
    # The file has thirds as rounded decimals; a target is the exact fraction.
    samples = (
        Sample(f"data/{file}", root / "data" / file, target=round(3 * float(probability)) / 3, kind=kind)
        for file, probability, kind in rows
    )
    return Dataset(root, "ELPV example data", tuple(sorted(samples, key=lambda sample: sample.file)))
