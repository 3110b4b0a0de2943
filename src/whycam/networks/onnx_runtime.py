"""The one place that loads onnxruntime, without its telemetry: nothing that WhyCAM does leaves the machine.

Its official builds give every user an identifier, keep a database of events in the home folder, and send them off. That
begins when the library is loaded, so it must be turned off before.
"""

from __future__ import annotations

import os

# Read once, when the library is loaded; its API can stop later events only.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

# For where another package had loaded it before.
onnxruntime.disable_telemetry_events()

InferenceSession = onnxruntime.InferenceSession
SessionOptions = onnxruntime.SessionOptions
