"""A file in the place of downloaded weights, known to the registry: the arithmetic is the same for any weights."""

import hashlib
import os

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hifacegan_lib.utils import weight_registry


def real(*names: str) -> pytest.MarkDecorator:
    """Skips a test whose networks nobody fetched; in CI, where `make setup` fetched them, it runs all the same."""
    missing = [name for name in names if not weight_registry.is_present(name)]
    skipped = bool(missing) and os.environ.get("HIFACEGAN_WEIGHTS") != "required"
    return pytest.mark.skipif(skipped, reason=f"`hifacegan weights fetch {' '.join(missing)}`")


def register(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let the registry expect the file that lies at ``weights.path(name)`` now."""
    content = weight_registry.path(name).read_bytes()
    item = weight_registry.REGISTRY[name]._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    patch.setitem(weight_registry.REGISTRY, name, item)


def put(patch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Lay ``content`` where the weights ``name`` belong, and let the registry expect it."""
    weight_registry.path(name).parent.mkdir(parents=True, exist_ok=True)
    weight_registry.path(name).write_bytes(content)
    register(patch, name)


def yunet(side: int = 320) -> bytes:
    """A network with YuNet's outputs that takes each white block of 32 x 32 pixels for a face of 96 x 96 around it.

    Its landmarks lie at fixed places: see ``POINTS``, in blocks from the block's corner.
    """
    nodes, values, outputs = [], [], []
    for stride in (8, 16, 32):
        cells = (side // stride) ** 2
        for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            name = f"{kind}_{stride}"
            kernel, bias = np.zeros((channels, 3, stride, stride), np.float32), np.zeros(channels, np.float32)
            if kind in ("cls", "obj"):  # from 0 at grey to 1 at white
                kernel += 1 / (127 * 3 * stride**2) if stride == 32 else 0
                bias -= 128 / 127
            elif kind == "bbox":
                bias += np.array([0.5, 0.5, np.log(3), np.log(3)], np.float32)
            else:
                bias += POINTS.ravel()
            shape = np.array([1, channels, -1], np.int64)
            for tensor, suffix in ((kernel, "kernel"), (bias, "bias"), (shape, "shape")):
                values.append(numpy_helper.from_array(tensor, f"{name}_{suffix}"))
            steps = [("Conv", ["kernel", "bias"], {"strides": [stride, stride], "kernel_shape": [stride, stride]})]
            steps += [("Reshape", ["shape"], {}), ("Transpose", [], {"perm": [0, 2, 1]})]
            steps += [("Relu", [], {})] if kind in ("cls", "obj") else []
            came = "input"
            for place, (op, needs, options) in enumerate(steps):
                leaves = name if place == len(steps) - 1 else f"{name}_{place}"
                nodes.append(helper.make_node(op, [came, *(f"{name}_{n}" for n in needs)], [leaves], **options))
                came = leaves
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, cells, channels]))
    return _model(nodes, values, outputs, [1, 3, side, side])


POINTS = np.array([[0.0, 0.0], [1, 0], [0.5, 0.5], [0.2, 1], [0.8, 1]], np.float32)


def sface(seed: int = 0) -> bytes:
    """A network with SFace's shape, 1 x 3 x 112 x 112 -> 1 x 128: random filters, then means of their magnitudes."""
    kernel = np.random.default_rng(seed).normal(size=(128, 3, 8, 8)).astype(np.float32)
    values = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.array([1, 128], np.int64), "shape")]
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["filtered"], strides=[8, 8], kernel_shape=[8, 8]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["fc1"]),
    ]
    outputs = [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 128])]
    return _model(nodes, values, outputs, [1, 3, 112, 112], "data")


def _model(nodes: list, values: list, outputs: list, shape: list[int], name: str = "input") -> bytes:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "standin", given, outputs, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
