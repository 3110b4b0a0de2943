"""The whole evaluation as one value, and that value as the text of metrics.json."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from whycam.evaluation.metrics import measure, undefined
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
    """The text of metrics.json: standard JSON (no NaN), indented, with a final newline.

    Each set says under `undefined` why which of its figures are null.
    """
    content = _EVALUATION.dump_python(evaluation, mode="json")
    for name, metrics in (("train", evaluation.train), ("test", evaluation.test)):
        if metrics is not None:
            content[name]["undefined"] = undefined(metrics)
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
