"""A frozen backbone made fast on a CPU: one ONNX graph, batch norms folded into the convolutions, run by onnxruntime.

Images go through one by one, each on one thread, several at a time. That is fastest on a CPU, and no result depends on
what else was in the batch or on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from whycam.data.parallel import in_order
from whycam.networks.backbone import Backbone
from whycam.networks.efficientnet_lite import INPUT_MEAN, INPUT_SCALE, EfficientNetLite0, SameConv
from whycam.networks.onnx_runtime import InferenceSession, SessionOptions

# What every onnxruntime since 1.15 reads; the graph needs nothing newer.
_OPSET = 17
_IR_VERSION = 8
_ERRORS_ONLY = 3
_IMAGES, _LOW, _HIGH, _MEAN = "images", "low", "high", "mean"


class Engine:
    """The maps of an `EfficientNetLite0` in evaluation mode, with the weights of the moment when the engine is made.

    Like the module's own they are within 1e-4 of the exact values, relative to values above 1. They have no gradients.
    """

    def __init__(self, backbone: EfficientNetLite0) -> None:
        self.taps = backbone.taps
        self.channels = backbone.channels
        self._check = backbone.check
        self._layers = tuple(_folded(name, layer) for name, layer in backbone.row())
        self._sessions: dict[tuple[bool, bool], InferenceSession] = {}

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of each tap, (N, K, h, w), from images on the CPU; as `EfficientNetLite0.forward`."""
        return self._run(images, pooled=False)

    def pooled(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and maximum of every channel over its cells, each (N, sum of K): the taps one after another."""
        means, maxima = self._run(images, pooled=True)
        return means, maxima

    def _run(self, images: Tensor, *, pooled: bool) -> tuple[Tensor, ...]:
        self._check(images)
        session = self._session(grey=images.shape[1] == 1, pooled=pooled)
        pixels = images.detach().to(torch.float32).contiguous().numpy()
        results = list(in_order(lambda n: session.run(None, {_IMAGES: pixels[n : n + 1]}), range(len(pixels))))
        return tuple(torch.from_numpy(np.concatenate(maps)) for maps in zip(*results, strict=True))

    def _session(self, *, grey: bool, pooled: bool) -> InferenceSession:
        key = (grey, pooled)
        if key not in self._sessions:
            options = SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = _ERRORS_ONLY
            model = _graph(self._layers, self.taps, grey=grey, pooled=pooled)
            self._sessions[key] = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return self._sessions[key]


def engine_for(backbone: Backbone) -> Engine | None:
    """An engine for the backbone as it is now; None where there is none: other networks, or not on the CPU."""
    if isinstance(backbone, EfficientNetLite0) and all(p.device.type == "cpu" for p in backbone.parameters()):
        return Engine(backbone)
    return None


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution with its batch norm folded in."""

    name: str
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    stride: int
    groups: int
    relu: bool
    residual: bool


def _folded(name: str, layer: SameConv) -> _Layer:
    norm = layer.norm
    mean, variance = (norm.get_buffer(name).double() for name in ("running_mean", "running_var"))
    with torch.no_grad():
        scale = norm.weight.double() / (variance + norm.eps).sqrt()
        weight = (layer.conv.weight.double() * scale[:, None, None, None]).float().numpy()
        bias = (norm.bias.double() - mean * scale).float().numpy()
    return _Layer(name, weight, bias, layer.stride, layer.groups, layer.relu, layer.residual)


def _graph(layers: tuple[_Layer, ...], taps: tuple[str, ...], *, grey: bool, pooled: bool) -> bytes:
    """The serialised ONNX model: input (N, 1 or 3, H, W) in [0, 1]; outputs the taps, or means and maxima."""
    # The mean is taken off before padding, as the published weights expect; the factor goes into the first kernels,
    # and so do three equal channels: one with the sum of their kernels.
    stem, *rest = layers
    kernels = stem.weight * np.float32(INPUT_SCALE)
    stem = replace(stem, weight=kernels.sum(axis=1, keepdims=True) if grey else kernels)
    constants = [
        numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        for name, value in ((_LOW, 0.0), (_HIGH, 6.0), (_MEAN, INPUT_MEAN))
    ]
    nodes = [helper.make_node("Sub", [_IMAGES, _MEAN], ["centred"])]
    x = block = "centred"
    for layer in (stem, *rest):
        weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        constants += [numpy_helper.from_array(layer.weight, weight), numpy_helper.from_array(layer.bias, bias)]
        nodes += _convolution(layer, [x, weight, bias], block)
        x = layer.name
        if x.startswith("block"):
            block = x
    outputs = list(taps)
    if pooled:
        nodes += _pooling(outputs)
        outputs = ["means", "maxima"]
    graph = helper.make_graph(
        nodes,
        "backbone",
        [helper.make_tensor_value_info(_IMAGES, TensorProto.FLOAT, ["N", 1 if grey else 3, "H", "W"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=[helper.make_opsetid("", _OPSET)])
    serialised: bytes = model.SerializeToString()
    return serialised


def _convolution(layer: _Layer, inputs: list[str], block: str) -> list[NodeProto]:
    """The layer's nodes; the last one's output has the layer's name."""
    raw = f"{layer.name}.raw" if layer.relu or layer.residual else layer.name
    # SAME_UPPER puts the odd cell of zeros at the end, as TensorFlow does, whatever the image's size.
    strides = [layer.stride] * 2
    nodes = [helper.make_node("Conv", inputs, [raw], strides=strides, group=layer.groups, auto_pad="SAME_UPPER")]
    if layer.relu:
        nodes.append(helper.make_node("Clip", [raw, _LOW, _HIGH], [layer.name]))
    if layer.residual:
        nodes.append(helper.make_node("Add", [raw, block], [layer.name]))
    return nodes


def _pooling(taps: list[str]) -> list[NodeProto]:
    """The nodes from the taps to `means` and `maxima`, (N, sum of K)."""
    nodes = []
    for tap in taps:
        # First along rows: GlobalAveragePool adds up all cells in one float32 and loses the fourth digit.
        nodes.append(helper.make_node("ReduceMean", [tap], [f"{tap}.rows"], axes=[3], keepdims=0))
        nodes.append(helper.make_node("ReduceMean", [f"{tap}.rows"], [f"{tap}.mean"], axes=[2], keepdims=0))
        nodes.append(helper.make_node("GlobalMaxPool", [tap], [f"{tap}.cell"]))
        nodes.append(helper.make_node("Flatten", [f"{tap}.cell"], [f"{tap}.maximum"]))
    for one, together in (("mean", "means"), ("maximum", "maxima")):
        nodes.append(helper.make_node("Concat", [f"{tap}.{one}" for tap in taps], [together], axis=1))
    return nodes
