"""Graphs by PyTorch against ONNX Runtime, with every operator; graphs that are not understood are refused."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hifacegan_lib.training.onnx_graph import OPERATORS, OnnxGraph

RNG = np.random.default_rng(0)
CONSTANTS = {
    "packed": RNG.integers(-127, 127, (4, 30), dtype=np.int8),
    "scales": RNG.random((4, 2), np.float32) / 50,
    "zeros": RNG.integers(-3, 3, (4, 2), dtype=np.int8),
    "shape": np.array([0, 3, 10]),
    "kernel_shape": np.array([4, 2, 3, 5]),
    "one": np.float32(0.25),
    "kernel": RNG.standard_normal((6, 2, 3, 2), np.float32),
    "bias": RNG.standard_normal(6, np.float32),
    **{name: RNG.random(6, np.float32) + 0.1 for name in ("gamma", "beta", "mean", "variance")},
    "slope": RNG.random((6, 1, 1), np.float32),
    "matrix": RNG.standard_normal((5, 6 * 4 * 6), np.float32),
    "ratio": np.float32(0.4),
    "by_channel": RNG.integers(0, 255, (5,), dtype=np.uint8),
    "channel_scales": RNG.random(5, np.float32),
}


def save(file: Path, nodes: list[onnx.NodeProto]) -> Path:
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items()]
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 4, 8, 7])
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [entry], [out], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), file)
    return file


def every_operator() -> list[onnx.NodeProto]:
    made, node = helper.make_node, []
    node += [made("DequantizeLinear", ["packed", "scales", "zeros"], ["a"], axis=1, block_size=15)]
    node += [made("Reshape", ["a", "shape"], ["b"]), made("Reshape", ["b", "kernel_shape"], ["c"])]
    node += [made("Constant", [], ["half"], value=numpy_helper.from_array(np.float32(0.5)))]
    node += [made("Sub", ["image", "half"], ["d"]), made("Mul", ["d", "one"], ["e"])]
    node += [made("Conv", ["e", "c"], ["f"], group=2, pads=[1, 2, 1, 2], dilations=[1, 1])]  # 8 x 7 again
    node += [made("Add", ["f", "image"], ["g"])]
    node += [made("Conv", ["g", "kernel", "bias"], ["h"], group=2, strides=[2, 1], pads=[0, 0, 1, 0])]  # 4 x 6
    node += [made("BatchNormalization", ["h", "gamma", "beta", "mean", "variance"], ["i"], epsilon=0.01, momentum=0.9)]
    node += [
        made("PRelu", ["i", "slope"], ["j"]),
        made("Dropout", ["j", "ratio"], ["k"]),
        made("Flatten", ["k"], ["l"]),
    ]
    node += [made("DequantizeLinear", ["by_channel", "channel_scales"], ["m"], axis=0)]
    return [*node, made("Gemm", ["l", "matrix", "m"], ["n"], transB=1, alpha=0.5, beta=2.0)]


def test_every_operator_is_onnx_runtime_s(tmp_path: Path) -> None:
    nodes = every_operator()
    assert {node.op_type for node in nodes} == set(OPERATORS)
    file = save(tmp_path / "graph.onnx", nodes)
    image = RNG.standard_normal((3, 4, 8, 7), np.float32)
    (expected,) = onnxruntime.InferenceSession(file).run(None, {"image": image})
    given = torch.from_numpy(image).requires_grad_()
    found = OnnxGraph(file)(given)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    (slope,) = torch.autograd.grad(found.sum(), given)
    assert slope.any()


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    file = save(tmp_path / "graph.onnx", [helper.make_node("Softmax", ["image"], ["out"])])
    with pytest.raises(ValueError, match=r"graph\.onnx: operator Softmax; known are Add, Sub"):
        OnnxGraph(file)


def test_a_graph_of_two_inputs_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "graph.onnx", [helper.make_node("Add", ["image", "one"], ["out"])])
    model = onnx.load(file)
    model.graph.node[0].input[1] = "other"
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    onnx.save(model, file)
    with pytest.raises(ValueError, match="expected one input, found image, other"):
        OnnxGraph(file)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"net.onnx: needs onnx; run `pip install 'hifacegan-workbench\[export\]'`"):
        OnnxGraph(tmp_path / "net.onnx")


def test_a_convolution_without_pads_has_none(tmp_path: Path) -> None:
    file = save(tmp_path / "graph.onnx", [helper.make_node("Conv", ["image", "kernel"], ["out"], group=2)])
    image = RNG.standard_normal((1, 4, 8, 7), np.float32)
    (expected,) = onnxruntime.InferenceSession(file).run(None, {"image": image})
    np.testing.assert_allclose(OnnxGraph(file)(torch.from_numpy(image)).numpy(), expected, rtol=1e-4, atol=1e-4)
