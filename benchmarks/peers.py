"""The classic network beside other people's software: Keras for training; grad-cam, torchcam and captum for heatmaps.

Run in an environment of its own (`make bench-peers`). `grad-cam` imports torchvision for helpers that play no part
here; where torchvision cannot be imported, empty stand-ins take their place, and grad-cam's own code runs as it is.
"""

from __future__ import annotations

import os
import sys
import types
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import torch

from benchmarks.plain import PlainClassic
from benchmarks.record import in_turn, record
from whycam.explain.explanation import explain, score
from whycam.networks.classic import ClassicNetwork
from whycam.training.recipe import CLASSIC
from whycam.training.rmsprop import KerasRMSprop
from whycam.training.trainer import LabelledPixels, new_optimizer, train_epochs

IMAGES = 80


def main() -> None:
    warnings.simplefilter("ignore")
    _stand_in_for_torchvision()
    heatmaps()
    keras_training()


def heatmaps() -> None:
    """Equality with grad-cam, captum and torchcam on the same weights, and the time each takes."""
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAM as TorchCam

    network = _network_with_heat()
    plain = PlainClassic(network).eval()
    captum = LayerGradCam(plain, plain.explained)
    rows = []
    for batch in (1, 32):
        images = torch.rand(batch, 3, 325, 325, generator=torch.Generator().manual_seed(batch))
        targets = [ClassifierOutputTarget(0)] * batch
        with GradCAM(model=plain, target_layers=[plain.explained]) as cam:
            # grad-cam resizes and rescales at the end; its map on the cells is what can be compared.
            cam.activations_and_grads(images)[:, 0].sum().backward()
            activations = cam.activations_and_grads.activations[0].numpy()
            gradients = cam.activations_and_grads.gradients[0].numpy()
            weights = cam.get_cam_weights(images, plain.explained, targets, activations, gradients)
            theirs = np.maximum(cam.get_cam_image(images, plain.explained, targets, activations, gradients), 0)
            assert weights.shape == (batch, 5)
            gradcam = in_turn(
                {"gradcam": lambda cam=cam, images=images, targets=targets: cam(images, targets)}, rounds=5
            )["gradcam"]
        ours = explain(network, images).heatmaps
        from_captum = captum.attribute(images, target=0, relu_attributions=True).detach().numpy()[:, 0]
        with TorchCam(plain, target_layer="explained") as extractor:

            def run_torchcam(images: torch.Tensor = images, extractor: TorchCam = extractor) -> torch.Tensor:
                return extractor(0, plain(images), normalized=False)[0]

            from_torchcam = run_torchcam().detach().numpy()
            torchcam = in_turn({"torchcam": run_torchcam}, rounds=5)["torchcam"]
        seconds = in_turn(
            {
                "score": lambda images=images: score(network, images),
                "explain": lambda images=images: explain(network, images),
                "captum": lambda images=images: captum.attribute(images, target=0, relu_attributions=True),
            }
        )
        rows.append(
            {
                "batch": batch,
                "largest difference to grad-cam": _difference(ours, theirs),
                "to captum": _difference(ours, from_captum),
                "to torchcam": _difference(ours, np.maximum(from_torchcam, 0)),
                "score + heatmap over score": seconds["explain"] / seconds["score"],
                "faster than grad-cam": gradcam / seconds["explain"],
                "than torchcam": torchcam / seconds["explain"],
                "than captum": seconds["captum"] / seconds["explain"],
            }
        )
    record("peers_heatmaps", "Grad-CAM on the classic network; differences relative to the largest value", rows)


def keras_training() -> None:
    """The same network and recipe in Keras 3: equal steps, and the time an epoch takes."""
    import keras

    ours = ClassicNetwork()
    ours.initialise(torch.Generator().manual_seed(0))
    model = _keras_model(keras, ours)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 325, 325, 3), dtype=np.uint8)
    targets = rng.integers(0, 2, IMAGES).astype(np.float32)
    floats = pixels.astype(np.float32) / 255
    optimizer = KerasRMSprop(ours.parameters(), learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    differences = []
    for first in range(0, 40, 8):
        batch = slice(first, first + 8)
        theirs = float(model.train_on_batch(floats[batch], targets[batch, None]))
        inputs = torch.from_numpy(floats[batch]).permute(0, 3, 1, 2)
        loss = (ours(inputs) - torch.from_numpy(targets[batch])).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        differences.append(abs(loss.item() - theirs))
        model.reset_metrics()
    data = LabelledPixels(lambda rows: pixels[rows], np.arange(IMAGES), targets.astype(np.float64))
    ours_optimizer = new_optimizer(ours, CLASSIC)

    def whycam_epoch() -> None:
        list(train_epochs(ours, ours_optimizer, data, recipe=CLASSIC, seed=0, epochs=range(1, 2)))

    seconds = in_turn(
        {
            "keras": lambda: model.fit(floats, targets, batch_size=8, epochs=1, verbose=0),
            "whycam": whycam_epoch,
        },
        rounds=5,
    )
    row = {
        "largest difference in loss over 5 steps": max(differences),
        "keras ms a batch": 1000 * seconds["keras"] * 8 / IMAGES,
        "whycam ms a batch": 1000 * seconds["whycam"] * 8 / IMAGES,
        "ratio": seconds["keras"] / seconds["whycam"],
    }
    record("peers_keras", "one classic training epoch in colour, beside Keras 3 on TensorFlow", [row], seed=0)


def _keras_model(keras: types.ModuleType, weights: ClassicNetwork) -> object:
    layers = keras.layers
    model = keras.Sequential([keras.Input((325, 325, 3))])
    for _ in range(3):
        model.add(layers.Conv2D(5, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    # Keras flattens channels last; the first dense layer's rows are put into that order below.
    model.add(layers.Flatten())
    for width in (100, 30, 20):
        model.add(layers.Dense(width, activation="relu"))
    model.add(layers.Dense(1))
    values = [parameter.detach().numpy() for parameter in weights.parameters()]
    converted = []
    for number, value in enumerate(values):
        if value.ndim == 4:
            converted.append(value.transpose(2, 3, 1, 0))
        elif number == 6:
            converted.append(value.reshape(100, 5, 38, 38).transpose(2, 3, 1, 0).reshape(7220, 100))
        else:
            converted.append(value.T)
    model.set_weights(converted)
    assert model.count_params() == weights.n_parameters
    model.compile(optimizer=keras.optimizers.RMSprop(1e-3), loss="mean_absolute_error")
    return model


def _network_with_heat() -> ClassicNetwork:
    # Freshly initialised networks may have no positive heat at all, and zeros are equal to zeros.
    for seed in range(100):
        network = ClassicNetwork()
        network.initialise(torch.Generator().manual_seed(seed))
        images = torch.rand(4, 3, 325, 325, generator=torch.Generator().manual_seed(0))
        if (explain(network, images).heatmaps.max(axis=(1, 2)) > 0).all():
            return network
    raise RuntimeError("no seed gives heat")


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _stand_in_for_torchvision() -> None:
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        names = {"": (), ".transforms": ("Compose", "Normalize", "ToTensor"), ".transforms.functional": ("resize",)}
        for suffix, members in names.items():
            module = types.ModuleType(f"torchvision{suffix}")
            for member in members:
                setattr(module, member, None)
            sys.modules[module.__name__] = module


if __name__ == "__main__":
    main()
