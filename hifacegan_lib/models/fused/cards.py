"""On which GPUs the Triton kernels are used: where a measurement says that they passed their tests and were faster.

``cards.json`` has the result of ``benchmarks/gpu.sh`` for each card that was measured, by PyTorch's name of it. On
other cards PyTorch's own operators compute the same. HIFACEGAN_TRITON=1 uses the kernels everywhere, 0 nowhere.
"""

import importlib.util
import json
import os
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

FILE = Path(__file__).parent / "cards.json"
SWITCH = "HIFACEGAN_TRITON"
KINDS = (torch.float32, torch.bfloat16, torch.float16)


def use_triton(features: Tensor) -> bool:
    """Whether the kernels compute these features: an NVIDIA GPU from Ampere on, and they are wanted on it.

    Raises:
        ValueError: HIFACEGAN_TRITON is neither 0 nor 1.
    """
    if not (features.is_cuda and features.dtype in KINDS and torch.version.cuda and importlib.util.find_spec("triton")):
        return False
    able = torch.cuda.get_device_capability(features.device) >= (8, 0)
    return able and wanted(torch.cuda.get_device_name(features.device))


def wanted(card: str, file: Path = FILE) -> bool:
    """Whether the kernels are wanted on a card: by HIFACEGAN_TRITON, else by its measurement.

    Raises:
        ValueError: HIFACEGAN_TRITON is neither 0 nor 1.
    """
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{SWITCH}={switch}: expected 0 or 1")
    return switch == "1" if switch else card in _proven(file)


@lru_cache
def _proven(file: Path) -> frozenset[str]:
    """Cards on which the kernels passed and took less time than PyTorch's operators, for every shape and dtype."""
    measured = json.loads(file.read_text(encoding="utf-8"))
    return frozenset(card for card, found in measured.items() if found["passed"] and found["slowest_vs_plain"] > 1)
