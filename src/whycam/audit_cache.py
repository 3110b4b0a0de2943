"""Audits that need not be made again: the same images with the same labels give the same findings."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
from pydantic import TypeAdapter, ValidationError

from whycam.auditing import AuditedData, audit_images
from whycam.audits.audit import SCHEMA
from whycam.errors import RunError
from whycam.networks.backbone import Backbone
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.store.rows import open_rows
from whycam.types import Dataset

_FORMAT = 5
_DATA = TypeAdapter(AuditedData)


def audit_once(
    dataset: Dataset, pixels: PixelCache, backbone: Backbone, *, seed: int, device: str, progress: Progress
) -> AuditedData:
    """What `audit_images` gives, from the cache where it was given before."""
    kept = open_rows({"audit": _FORMAT, "schema": SCHEMA, "whycam": version("whycam")})
    key = _key(dataset, pixels, backbone, seed)
    with suppress(KeyError, RunError, ValidationError):
        return _DATA.validate_json(kept.read([key])[0].tobytes())
    found = audit_images(dataset, pixels, backbone, seed=seed, device=device, progress=progress)
    kept.add([key], [np.frombuffer(_DATA.dump_json(found), dtype=np.uint8)])
    return found


def _key(dataset: Dataset, pixels: PixelCache, backbone: Backbone, seed: int) -> str:
    names = dict(zip(pixels.files, pixels.names, strict=True))
    samples = [[{**asdict(sample), "path": "", "mask": ""}, names[sample.file]] for sample in dataset.samples]
    settings = [seed, backbone.weights_digest, backbone.taps, pixels.size_hw]
    return hashlib.sha256(json.dumps([settings, samples]).encode()).hexdigest()
