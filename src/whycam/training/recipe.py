"""Recipes: complete training configurations under a name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from whycam.errors import OptionError, one_of
from whycam.networks.names import EFFICIENTNET_LITE0
from whycam.types import Fewest

Symmetry = Literal["auto", "none", "flip", "all"]
SYMMETRIES: tuple[Symmetry, ...] = ("auto", "none", "flip", "all")


@dataclass(frozen=True, slots=True)
class ClassicRecipe:
    """Everything about a training of the classic network except the data, the seed and the device."""

    fewest: ClassVar[Fewest] = Fewest()
    more_epochs: ClassVar[bool] = True
    """Whether a training can go on for more epochs than were planned: here no epoch knows how many there will be."""

    name: str
    size_hw: tuple[int, int]
    epochs: int
    batch_size: int
    learning_rate: float
    rho: float
    epsilon: float
    loss: Literal["mean absolute error"]
    validation_share: float = 0.0
    """Of the training images, kept out of the training to choose a threshold on."""

    @property
    def optimizer(self) -> str:
        """The optimiser in words, for the card and the report."""
        return f"RMSprop (learning rate {self.learning_rate:g}, rho {self.rho:g}, epsilon {self.epsilon:g})"


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """How the head on pooled features is trained: AdamW, one cycle of the learning rate, dropout on hidden units."""

    directions: int = 512
    """Principal directions of the features that the head sees: fewer forget, more overfit."""
    hidden: int = 256
    dropout: float = 0.5
    epochs: int = 48
    choosing_epochs: int = 8
    """At most so many where only the better one of several sets of views is looked for."""
    choosing_images: int = 600
    """On as few held-out parts as hold so many images."""
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    folds: int = 5
    """Of the cross-validation on training images that calibrates scores and chooses views."""


@dataclass(frozen=True, slots=True)
class DefaultRecipe:
    """Frozen features of a pretrained backbone, and a head on them.

    Taps, size and head were chosen on ELPV, on splits drawn with seeds 10 to 14; figures are told for seeds 0 to 4.
    """

    fewest: ClassVar[Fewest] = Fewest(anomalous=1, train_normal=2, train_anomalous=0)
    """Without an anomaly to learn from it knows normal images only; two of them tell how far apart they lie."""
    more_epochs: ClassVar[bool] = False

    name: str = "default"
    size_hw: tuple[int, int] = (300, 300)
    backbone: str = EFFICIENTNET_LITE0
    taps: tuple[str, ...] = ("depthwise8", "depthwise11", "depthwise15")
    symmetry: Symmetry = "auto"
    views: int = 4
    """At most so many views of an image are judged, where its symmetry allows."""
    head: HeadSettings = field(default_factory=HeadSettings)

    @property
    def optimizer(self) -> str:
        """The optimiser in words, for the card and the report."""
        return f"AdamW (learning rate {self.head.learning_rate:g}, weight decay {self.head.weight_decay:g})"

    @property
    def loss(self) -> str:
        """The loss in words, likewise."""
        return "cross-entropy of the two classes"

    @property
    def epochs(self) -> int:
        """Of the head, over the cached features."""
        return self.head.epochs


@dataclass(frozen=True, slots=True)
class FinetuneRecipe:
    """The late layers of a pretrained backbone, trained together with the head of `DefaultRecipe`.

    Layers up to `cut` stay as they are, so that their maps are computed once. Weight gradients of depthwise
    convolutions would take more than half of a step on a CPU, so these stay too.
    """

    fewest: ClassVar[Fewest] = Fewest()
    more_epochs: ClassVar[bool] = False
    """The learning rate falls to zero over all epochs."""

    name: str = "finetune"
    size_hw: tuple[int, int] = (300, 300)
    backbone: str = EFFICIENTNET_LITE0
    taps: tuple[str, ...] = ("depthwise8", "depthwise11", "depthwise15")
    symmetry: Symmetry = "auto"
    views: int = 4
    """At most so many views of an image are judged; training sees all that its symmetry allows."""
    cut: str = "block7"
    epochs: int = 16
    batch_size: int = 16
    learning_rate: float = 2e-4
    """Of the last layer."""
    head_learning_rate: float = 1e-4
    decay: float = 0.9
    """Each layer learns at this share of the rate of the layer after it (Howard and Ruder 2018, arXiv 1801.06146)."""
    weight_decay: float = 1e-2
    average: float = 0.998
    """Of the exponential moving average of the weights, an update."""
    labels: Literal["classes", "graded"] = "classes"
    """Whether the loss asks for anomalous or not, or for a graded target as it is."""
    validation_share: float = 0.125
    """Of the training images, kept to choose weights and to calibrate scores."""
    shares: tuple[float, ...] = (0.5, 0.7, 0.85, 1.0)
    """Of the way from the pretrained weights to the fine-tuned ones, to choose from."""
    clear: float = 2.0
    """By so many standard errors they must judge the images kept out better than the pretrained ones, or these stay."""
    head: HeadSettings = field(default_factory=HeadSettings)

    @property
    def optimizer(self) -> str:
        """The optimiser in words, for the card and the report."""
        return (
            f"AdamW (learning rate {self.head_learning_rate:g} for the head, {self.learning_rate:g} for the last "
            f"layer, {self.decay:g} times as much for each layer before, weight decay {self.weight_decay:g})"
        )

    @property
    def loss(self) -> str:
        """The loss in words, likewise."""
        return "cross-entropy of the two classes" if self.labels == "classes" else "cross-entropy of graded targets"


Recipe = ClassicRecipe | DefaultRecipe | FinetuneRecipe

CLASSIC = ClassicRecipe(
    name="classic",
    size_hw=(325, 325),
    epochs=250,
    batch_size=8,
    learning_rate=1e-3,
    rho=0.9,
    epsilon=1e-7,
    loss="mean absolute error",
)
CENTRED_ON = 32
"""Heatmaps of the recipes below show what differs from the mean of at most so many normal training images."""
DEFAULT = DefaultRecipe()
FINETUNE = FinetuneRecipe()

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (DEFAULT, FINETUNE, CLASSIC)}


def views_of(symmetry: Literal["none", "flip", "all"], at_most: int) -> tuple[int, ...]:
    """The views (numbers of `networks.views`) that a symmetry allows, quarter turns before flips."""
    allowed = {"none": (0,), "flip": (0, 4), "all": (0, 1, 2, 3, 4, 5, 6, 7)}
    return allowed[symmetry][:at_most]


def choose_recipe(
    name: str, *, epochs: int | None = None, symmetry: str = "auto", backbone: str | None = None
) -> Recipe:
    """The recipe of that name with what the user wants otherwise; OptionError for what there is not."""
    if name not in RECIPES:
        raise OptionError(one_of("recipe", tuple(RECIPES), name))
    if epochs is not None and epochs < 1:
        raise OptionError(f"`epochs` must be 1 or more, got {epochs} instead.")
    if symmetry not in SYMMETRIES:
        raise OptionError(one_of("symmetry", SYMMETRIES, symmetry))
    recipe = RECIPES[name]
    if isinstance(recipe, ClassicRecipe):
        for option, is_given in (("symmetry", symmetry != "auto"), ("backbone", backbone is not None)):
            if is_given:
                raise OptionError(f"`{option}` is not for the recipe {name}: leave it out, or take another recipe.")
        return recipe if epochs is None else replace(recipe, epochs=epochs)
    if isinstance(recipe, FinetuneRecipe):
        if backbone is not None and backbone != recipe.backbone:
            raise OptionError(f"recipe {name} needs the backbone {recipe.backbone}.")
        return replace(recipe, symmetry=symmetry, epochs=recipe.epochs if epochs is None else epochs)
    if epochs is not None:
        recipe = replace(recipe, head=replace(recipe.head, epochs=epochs))
    if backbone is not None and backbone != recipe.backbone:
        # Another backbone has other layers: all that it offers.
        recipe = replace(recipe, backbone=backbone, taps=())
    return replace(recipe, symmetry=symmetry)
