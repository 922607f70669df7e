"""Weights stored in few bits.

    eight bits   w = scale_c q          q = -127 ... 127: a quarter of float32's bytes
    four bits    w = base + scale_c q   q = -7 ... 7: of a network that was trained on from another, its base

Only kernels (four dimensions) are stored so, with one scale for each output channel c; biases and the like stay in half
precision. In eight bits the largest error of a weight is half a scale, 1/254 of the largest weight of its channel. In
four bits a channel's scale is the one with the least squared error: it may clip the largest differences.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

SCALE = ".scale"  # ends the name of the tensor with the scales of a kernel
LIMIT, NIBBLE = 127, 7
CLIPS = np.linspace(0.3, 1, 15)  # the largest difference that is not clipped, in shares of the largest of all
Named = Mapping[str, NDArray[Any]]


def pack(weights: Named, base: Named | None = None) -> dict[str, NDArray[Any]]:
    """Kernels as int8, or uint8 with two differences each, and float32 scales; other tensors as float16.

    Args:
        base: what :func:`unpack` gives for the network from which this one was trained on; None: eight bits.
    Raises:
        ValueError: a number is not finite, or a number that is no kernel's exceeds float16's 65504.
    """
    stored: dict[str, NDArray[Any]] = {}
    for name, value in weights.items():
        with np.errstate(over="ignore"):  # infinity is found below
            small: NDArray[Any] = value.astype(np.float32 if value.ndim == 4 else np.float16)
        if not np.isfinite(small).all():
            raise ValueError(f"{name}: holds numbers that are not finite or exceed half precision's 65504")
        if value.ndim != 4:
            stored[name] = small
        elif base is None:
            scale = np.abs(small).max((1, 2, 3), keepdims=True) / LIMIT  # C_out, 1, 1, 1
            stored[name], stored[name + SCALE] = _steps(small, scale).astype(np.int8), scale
        else:
            stored[name], stored[name + SCALE] = _differences(small - base[name])
    return stored


def packed(names: Collection[str]) -> list[str]:
    """The names of packed kernels: those for which there are scales."""
    return [name for name in names if name + SCALE in names]


def unpack(stored: Named, base: Named | None = None) -> dict[str, NDArray[np.float32]]:
    """All tensors in float32; a file without packed kernels is only converted.

    Raises:
        ValueError: kernels in four bits, and no base.
    """
    kernels = packed(stored)
    scales = {name + SCALE for name in kernels}
    weights = {name: value.astype(np.float32) for name, value in stored.items() if name not in scales}
    for name in kernels:
        steps, scale = weights[name], stored[name + SCALE]
        if stored[name].dtype == np.uint8:
            if base is None:
                raise ValueError(f"{name}: a difference from another network's weights, which are not given")
            kernel = base[name]
            pairs = np.stack([stored[name] & 15, stored[name] >> 4], -1)  # C_out, N / 2, 2
            steps = pairs.reshape(len(kernel), -1)[:, : kernel[0].size].reshape(kernel.shape) - np.float32(NIBBLE)
            weights[name] = kernel + steps * scale
        else:
            weights[name] = steps * scale
    return weights


def read(path: str | Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """All tensors of a generator's file in float32, and its info, without PyTorch; a base lies beside the file."""
    with safe_open(path, framework="np") as file:
        description = json.loads(file.metadata()["hifacegan"])
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    base = description.get("base")
    weights = unpack(stored, read(Path(path).with_name(f"{base}.safetensors"))[0] if base else None)
    return weights, description["info"]


def _steps(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(values / np.where(scale == 0, 1, scale))


def _differences(values: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """C_out x C_in x H x W as uint8 C_out x N / 2 and the scales; an odd N gets a zero more."""
    flat = values.reshape(len(values), -1)
    largest = np.abs(flat).max(1, keepdims=True) / NIBBLE
    best, least = largest, np.full_like(largest, np.inf)
    for scale in (np.float32(clip) * largest for clip in CLIPS):
        error = np.square(np.clip(_steps(flat, scale), -NIBBLE, NIBBLE) * scale - flat).sum(1, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    steps = np.clip(_steps(flat, best), -NIBBLE, NIBBLE) + NIBBLE
    nibbles = np.pad(steps, ((0, 0), (0, flat.shape[1] % 2)), constant_values=NIBBLE).astype(np.uint8)
    return nibbles[:, ::2] | nibbles[:, 1::2] << 4, best.reshape(-1, 1, 1, 1)
