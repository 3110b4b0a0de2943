"""From a recipe and labelled pixels to a trained network."""
