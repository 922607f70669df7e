"""Weights stored in eight bits: a quarter of float32's bytes.

    w = scale_c * q        q = -127 ... 127, one scale for each output channel c of a kernel

Only kernels (four dimensions) are stored so; biases and the like stay in half precision. The largest error of a weight
is half a scale, 1/254 of the largest weight of its channel.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SCALE = ".scale"  # ends the name of the tensor with the scales of a kernel
LIMIT = 127


def pack(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    """Kernels as int8 and their scales as float32, the other tensors as float16; :func:`unpack` reads the result.

    Raises:
        ValueError: a number is not finite, or a number that is no kernel's exceeds float16's 65504.
    """
    stored: dict[str, NDArray[np.generic]] = {}
    for name, value in weights.items():
        with np.errstate(over="ignore"):  # infinity is found below
            small = value.astype(np.float32 if value.ndim == 4 else np.float16)
        if not np.isfinite(small).all():
            raise ValueError(f"{name}: holds numbers that are not finite or exceed half precision's 65504")
        if value.ndim != 4:
            stored[name] = small
            continue
        scale = np.abs(small).max((1, 2, 3), keepdims=True) / LIMIT  # C_out, 1, 1, 1
        stored[name] = np.rint(small / np.where(scale == 0, 1, scale)).astype(np.int8)
        stored[name + SCALE] = scale
    return stored


def unpack(stored: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """All tensors in float32; a file without int8 kernels is only converted."""
    scales = {name for name in stored if name.endswith(SCALE) and name.removesuffix(SCALE) in stored}
    weights = {name: value.astype(np.float32) for name, value in stored.items()}
    return {n: v * weights[n + SCALE] if n + SCALE in scales else v for n, v in weights.items() if n not in scales}
