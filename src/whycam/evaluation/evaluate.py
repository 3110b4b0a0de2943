"""The whole evaluation as one value, and that value as the text of metrics.json and back."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from whycam.errors import RunError
from whycam.evaluation.metrics import measure
from whycam.types import Evaluation, Predictions, Threshold

SCHEMA = 1
"""Version of metrics.json; raised when a field changes its meaning or goes."""

_EVALUATION = TypeAdapter(Evaluation)


def evaluate(
    train: Predictions | None, test: Predictions, *, threshold: Threshold, probabilities: bool, seed: int = 0
) -> Evaluation:
    """Measure a model on its training images (if given) and on its test images.

    Args:
        train: predictions for the images it learned from, or None where they are not at hand.
        test: predictions for images it has not seen.
        threshold: the score at or above which an image is called anomalous.
        probabilities: whether scores are probabilities, in [0, 1].
        seed: of the bootstrap resamples.

    Raises:
        ValueError: predictions are empty or inconsistent (see `whycam.evaluation.metrics.measure`).
        WhyCAMError: a score is not finite.
    """
    return Evaluation(
        schema=SCHEMA,
        train=None if train is None else measure(train, threshold, probabilities=probabilities, seed=seed),
        test=measure(test, threshold, probabilities=probabilities, seed=seed),
        threshold=threshold,
    )


def to_json(evaluation: Evaluation) -> str:
    """The text of metrics.json: standard JSON (no NaN), indented, with a final newline."""
    return json.dumps(_EVALUATION.dump_python(evaluation, mode="json"), indent=2, allow_nan=False) + "\n"


def from_json(text: str, *, source: str | Path = "metrics.json") -> Evaluation:
    """The evaluation that `to_json` wrote; `source` names the file in errors.

    Raises:
        RunError: the text is not the evaluation of a run, or has another schema version.
    """
    advice = "make it anew with `whycam evaluate`."
    try:
        evaluation = _EVALUATION.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunError(f"{source} is damaged ({where}: {first['msg']}); {advice}") from error
    if evaluation.schema != SCHEMA:
        raise RunError(f"{source} has schema {evaluation.schema}, this version reads {SCHEMA}; {advice}")
    return evaluation
