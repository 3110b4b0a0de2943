"""Heatmaps, evidence and segments: why a score is what it is."""
