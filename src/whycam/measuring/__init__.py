"""Measures a model's heatmaps: what they say about its scores, about true defects, and about what it learned."""

from whycam.measuring.measure import measure_explanations as measure_explanations
from whycam.measuring.measure import read_measured as read_measured
from whycam.measuring.measure import to_json as to_json
