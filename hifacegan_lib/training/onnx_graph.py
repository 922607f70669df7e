"""An ONNX graph computed by PyTorch, so that gradients pass through it: the operators of small recognition networks.

    value of a node = operator(values of its inputs, attributes)          node by node, in the order of the file

Nodes of constants alone, such as weights packed in 8 bits, are computed once. Batch statistics are the file's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = ("kernel_shape", "momentum", "ratio", "seed", "spatial")  # attributes for training, or said by the inputs too


def _dequantized(x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, block_size: int = 0) -> Tensor:
    """(x - zero) * scale; a scale belongs to all, to one index along the axis, or to a block of them."""

    def spread(values: Tensor) -> Tensor:
        if block_size:
            return values.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
        return values if values.ndim == 0 else values.view([-1 if n == axis % x.ndim else 1 for n in range(x.ndim)])

    return (x.float() - (0 if zero is None else spread(zero).float())) * spread(scale)


def _convolved(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    group: int = 1,
    pads: Sequence[int] = (0, 0, 0, 0),
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
) -> Tensor:
    top, left, bottom, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), kernel, bias, tuple(strides), 0, tuple(dilations), group)


def _linear(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1,
    beta: float = 1,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    product = alpha * (a.T if transA else a) @ (b.T if transB else b)
    return product if c is None else product + beta * c


def _reshaped(x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape([old if new == 0 else new for new, old in zip_longest(shape.tolist(), x.shape[: len(shape)])])


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "BatchNormalization": lambda x, gamma, beta, mean, variance, *, epsilon=1e-5: F.batch_norm(
        x, mean, variance, gamma, beta, eps=epsilon
    ),
    "Constant": lambda *, value: value,
    "Conv": _convolved,
    "DequantizeLinear": _dequantized,
    "Dropout": lambda x, *_: x,
    "Flatten": lambda x, *, axis=1: x.flatten(axis),
    "Gemm": _linear,
    "PRelu": lambda x, slope: F.prelu(x, slope.flatten()),
    "Reshape": _reshaped,
}


class OnnxGraph:
    """The first output of a graph with one input, as a function of a tensor that can be differentiated.

    Args:
        path: of the file.
        device: where the constants lie.
    Raises:
        ImportError: the package onnx is missing.
        ValueError: the file has more inputs, or an operator that is not in ``OPERATORS``.
    """

    def __init__(self, path: Path, device: torch.device | str | None = None) -> None:
        try:
            import onnx
        except ImportError:
            raise ImportError(f"{path.name}: needs onnx; run `pip install 'hifacegan-workbench[export]'`") from None

        def tensor(stored: Any) -> Tensor:
            return torch.from_numpy(onnx.numpy_helper.to_array(stored).copy()).to(device)

        graph = onnx.load(path).graph
        values: dict[str, Any] = {stored.name: tensor(stored) for stored in graph.initializer}
        values[""] = None  # the name of an optional input that is left out
        used = {name for node in graph.node for name in node.input} - values.keys()
        inputs = [entry.name for entry in graph.input if entry.name in used]
        if len(inputs) != 1:
            raise ValueError(f"{path}: expected one input, found {', '.join(inputs) or 'none'}")
        self._input, self._output = inputs[0], graph.output[0].name
        self._steps: list[tuple[Callable[..., Tensor], list[str], str]] = []
        for node in graph.node:
            if node.op_type not in OPERATORS:
                raise ValueError(f"{path}: operator {node.op_type}; known are {', '.join(OPERATORS)}")
            options = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute if x.name not in IGNORED}
            options = {name: tensor(x) if isinstance(x, onnx.TensorProto) else x for name, x in options.items()}
            operator = partial(OPERATORS[node.op_type], **options)
            if all(name in values for name in node.input):
                values[node.output[0]] = operator(*(values[name] for name in node.input))
            else:
                self._steps.append((operator, list(node.input), node.output[0]))
        needed = {name for _, inputs, _ in self._steps for name in inputs}
        self._constants = {name: value for name, value in values.items() if name in needed}

    def __call__(self, x: Tensor) -> Tensor:
        values = {**self._constants, self._input: x}
        for operator, inputs, output in self._steps:
            values[output] = operator(*(values[name] for name in inputs))
        return values[self._output]
