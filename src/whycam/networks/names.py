"""What backbones are called, apart from the backbones: a mistake in an option is told without importing torch."""

EFFICIENTNET_LITE0 = "efficientnet-lite0"
TIMM_PREFIX = "timm:"
