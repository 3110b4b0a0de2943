"""What a heatmap costs on top of a score, beside captum's Grad-CAM on the same network, in turn."""

from __future__ import annotations

import warnings

import torch
from captum.attr import LayerGradCam

from benchmarks.plain import PlainClassic
from benchmarks.record import in_turn, record
from whycam.explain.explanation import explain, score
from whycam.networks.classic import ClassicNetwork


def main() -> None:
    warnings.simplefilter("ignore")
    network = ClassicNetwork()
    network.initialise(torch.Generator().manual_seed(0))
    plain = PlainClassic(network).eval()
    captum = LayerGradCam(plain, plain.explained)
    rows = []
    for batch in (1, 32):
        images = torch.rand(batch, 3, 325, 325)

        def score_and_captum(images: torch.Tensor = images) -> None:
            with torch.no_grad():
                plain(images)
            captum.attribute(images, target=0, relu_attributions=True)

        seconds = in_turn(
            {
                "score": lambda images=images: score(network, images),
                "both": lambda images=images: explain(network, images),
                "captum": score_and_captum,
            },
            rounds=15,
        )
        rows.append(
            {
                "batch": batch,
                "score ms": 1000 * seconds["score"],
                "score + heatmap + evidence ms": 1000 * seconds["both"],
                "over scoring alone": seconds["both"] / seconds["score"],
                "score + captum ms": 1000 * seconds["captum"],
                "faster than captum": seconds["captum"] / seconds["both"],
            }
        )
    record("explain_speed", "classic network, score and heatmap", rows)
