"""Audits that need not be made again: the same images with the same labels give the same findings."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version

from pydantic import TypeAdapter, ValidationError

from whycam.atomic import write_bytes
from whycam.auditing import AuditedData, audit_images
from whycam.data.cache import PixelCache
from whycam.data.pack import cache_folder
from whycam.networks.backbone import Backbone
from whycam.progress import Progress
from whycam.types import Dataset

_FORMAT = 3
_KEPT = 20
_NAME = "audit-"
_DATA = TypeAdapter(AuditedData)


def audit_once(
    dataset: Dataset, pixels: PixelCache, backbone: Backbone, *, seed: int, device: str, progress: Progress
) -> AuditedData:
    """What `audit_images` gives, from the cache where it was given before; the newest twenty audits are kept."""
    path = cache_folder() / f"{_NAME}{_key(dataset, pixels, backbone, seed)}.json"
    with suppress(OSError, ValidationError):
        return _DATA.validate_json(path.read_bytes())
    found = audit_images(dataset, pixels, backbone, seed=seed, device=device, progress=progress)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _DATA.dump_json(found))
        for old in sorted(path.parent.glob(f"{_NAME}*.json"), key=lambda file: -file.stat().st_mtime)[_KEPT:]:
            old.unlink()
    return found


def _key(dataset: Dataset, pixels: PixelCache, backbone: Backbone, seed: int) -> str:
    samples = [[{**asdict(sample), "path": "", "mask": ""}, pixels.digests[sample.file]] for sample in dataset.samples]
    settings = [_FORMAT, version("whycam"), seed, backbone.weights_digest, backbone.taps, pixels.size_hw]
    return hashlib.sha256(json.dumps([settings, samples]).encode()).hexdigest()[:40]
