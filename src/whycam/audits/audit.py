"""All that an audit found, as one value: the terminal, the page and audit.json tell the same.

How it is found lies elsewhere, so that reading and showing it does not import scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

from whycam.audits.cues import CueKind
from whycam.audits.findings import Finding, Severity
from whycam.audits.pixel_facts import Region
from whycam.data.facts import DataFacts
from whycam.types import Estimate

SCHEMA = 2
"""Version of audit.json; raised when a field changes its meaning or goes."""

MOST_IMAGES = 20_000
"""Of larger data sets so many images, drawn at random, are audited: their features fill 400 MB."""

_TELLING = 0.005
"""A difference in AUROC below this is no news, however sure."""


@dataclass(frozen=True, slots=True)
class CueResult:
    """One line of the table of cues."""

    cue: str
    kind: CueKind
    auroc: Estimate
    """Out of fold, with its 95 % interval, which holds for all cues at once."""
    beside: float | None = None
    """What the AUROC was compared with: that of the best comparable patch inside the image for a border or corner, that
    of most of the pixels for a cue of appearance; None where it was not needed."""
    severity: Severity | None = None
    """How gravely it is said; None where it is not."""
    region: Region | None = None
    within: float | None = None
    """The mean AUROC within groups that hold both classes, where the cue is said because of it."""
    in_doubt: bool = False
    """Whether it is beyond the level of its kind, but independent images, or groups, are too few to exclude chance."""

    @property
    def warned(self) -> bool:
        """Whether it is more than a note."""
        return self.severity in ("serious", "warning")


@dataclass(frozen=True, slots=True)
class Optimism:
    """The AUROC of the cheap head, measured in ways that keep together what belongs together and in ways that do not.

    Intervals come from resamples of whole units.
    """

    naive: Estimate
    """Cross-validated image by image, as if nothing belonged together."""
    leak_free: Estimate
    """Cross-validated with every unit kept whole."""
    difference: Estimate
    """naive - leak_free, both on the same resamples."""
    test: Estimate | None
    """Trained on the given train part, on all of the given test part; None without a given split that leaks."""
    clean_test: Estimate | None
    """The same model, on those test images of whose unit nothing is in train; None also where these are few."""
    n_clean: int
    """How many test images those are."""

    @property
    def misleads(self) -> bool:
        """Whether naive figures are clearly too good: the interval of the difference lies above 0, by no trifle."""
        value, low = self.difference.value, self.difference.low
        return value is not None and low is not None and low > 0 and value >= _TELLING


@dataclass(frozen=True, slots=True)
class DoubtedLabel:
    """An image whose label is not believed."""

    file: str
    anomalous: bool
    """The label as given."""
    probability: float
    """That the image is anomalous, says a model that saw neither it nor what belongs with it; in [0, 1]."""


@dataclass(frozen=True)
class Audit:
    """What is wrong with a data set, before anything is trained on it."""

    schema: int
    n: int
    """Images."""
    n_anomalous: int
    findings: tuple[Finding, ...]
    """The gravest first."""
    cues: tuple[CueResult, ...]
    """What should not matter, and how well it tells the classes apart by itself."""
    doubted: tuple[DoubtedLabel, ...]
    """The least believed first."""
    optimism: Optimism | None
    """None where no images belong together, or they are too few to measure it."""

    data: DataFacts | None = None
    """How the data were read and what was left out; None where the audit does not say."""

    def count(self, severity: Severity) -> int:
        """How many findings are as grave as that."""
        return sum(finding.severity == severity for finding in self.findings)
