"""The training stage of a run: from divided samples to a network, one module for each recipe."""
