"""All that an audit found, as one value: the terminal, the page and audit.json tell the same."""

from __future__ import annotations

from dataclasses import dataclass

from whycam.audits.cue_trials import CueResult
from whycam.audits.findings import Finding, Severity
from whycam.audits.optimism import Optimism

SCHEMA = 1
"""Version of audit.json; raised when a field changes its meaning or goes."""


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

    def count(self, severity: Severity) -> int:
        """How many findings are as grave as that."""
        return sum(finding.severity == severity for finding in self.findings)
