"""Recorded values: five numbers of an array, which a small change anywhere in it moves, against ``golden.json``.

A property holds for many wrong functions; a recorded value holds for one. The numbers are the mean, and the mean
products with four cosines of unrelated lengths, so that each element counts, and its place too. They are recorded to
1e-5 of the unit, which is white for images. After a change of values that is wanted, ``HIFACEGAN_RECORD=1`` before the
tests writes the new values; the commit says why they changed.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hifacegan_lib.degradations.operations import OPERATIONS, Names, Range

FILE = Path(__file__).with_name("golden.json")
LENGTHS = np.sqrt([2, 3, 5, 7])  # unrelated to each other and to the sides of arrays


def numbers(values: Any) -> list[float]:
    """Five numbers of an array or tensor; uint8 is divided by 255."""
    array = values.detach().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    flat = array.ravel().astype(np.float64) / (255 if array.dtype == np.uint8 else 1)
    waves = np.cos(np.arange(flat.size) * LENGTHS[:, None])
    return [float(flat.mean()), *(float(x) for x in waves @ flat / flat.size)]


def check(name: str, values: Any, unit: float = 1.0) -> None:
    """Compare an array's numbers with the recorded ones of this name, to 1e-5 of ``unit``."""
    found, recorded = numbers(values), json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("HIFACEGAN_RECORD"):
        recorded[name] = [round(x, 7) for x in found]
        lines = (f"{json.dumps(key)}: {json.dumps(recorded[key])}" for key in sorted(recorded))
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    np.testing.assert_allclose(found, recorded[name], rtol=0, atol=1e-5 * unit, err_msg=name)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 H x W x 3 with slopes, an edge, noise of all levels, and a black and a white corner."""
    y, x = np.mgrid[0:height, 0:width]
    slopes = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 5 + y / 9)], 2)
    slopes[y > x] = 200 - 0.5 * slopes[y > x]
    noisy = slopes + np.random.default_rng(seed).normal(0, 12, slopes.shape)
    noisy[:5, :5], noisy[-5:, -5:] = 0, 255
    return noisy.clip(0, 255).astype(np.uint8)


def faces(*shape: int, seed: int = 0) -> torch.Tensor:
    """Smooth random images N x 3 x H x W in [0, 1]."""
    coarse = torch.rand(*shape[:2], 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1)


def operations_of(module: Any) -> Iterable[str]:
    """The names of the operations whose functions are in this module."""
    return [name for name, operation in OPERATIONS.items() if operation.function.__module__ == module.__name__]


def check_operation(name: str) -> None:
    """An operation's pixels at a small, a middle and a large setting, on an oblong picture."""
    operation, outputs = OPERATIONS[name], []
    for n, share in enumerate((0.01, 0.05, 0.4)):
        values = {key: _setting(kind, share, n) for key, kind in operation.parameters.items()}
        grain = {"grain": (0.6, 1.0, 2.5)[n]} if "grain" in operation.context else {}
        outputs.append(operation(picture(45, 38), **values, **grain).ravel())
    for setting, pixels in zip(("small", "middle", "large"), outputs, strict=True):
        check(f"degradations: {name}, {setting}", pixels)


def _setting(kind: Range | Names, share: float, n: int) -> Any:
    if isinstance(kind, Names):
        return kind.names[n % len(kind.names)]
    value = kind.low + share * (kind.high - kind.low)
    return round(value) if kind.whole else value
