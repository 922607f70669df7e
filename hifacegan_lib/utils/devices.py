"""Which device computes, found without loading PyTorch where there is none but the CPU."""

import platform
from pathlib import Path

from hifacegan_lib.names import ParamsError

GPU_FILES = ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg", "kfd")  # in /dev: NVIDIA's, Jetson's, WSL's, AMD's


def find_device(name: str = "auto") -> str:
    """``auto`` is CUDA, else Apple's MPS, else the CPU.

    Args:
        name: auto, cpu, cuda, cuda:N or mps.
    Raises:
        ParamsError: the named device is not there.
    """
    if name == "cpu" or (name == "auto" and not gpu_is_possible()):
        return "cpu"
    import torch  # here: loading it takes seconds

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, present in there.items() if present)
    if not there[torch.device(name).type]:
        raise ParamsError(f"device = {name!r}: not available here; available: {[k for k, v in there.items() if v]}")
    return name


def gpu_is_possible() -> bool:
    """False where no GPU can be: a Linux without a GPU's device file, an Intel Mac. True does not promise one."""
    if platform.system() == "Linux":
        return any(True for pattern in GPU_FILES for _ in Path("/dev").glob(pattern))
    return platform.system() != "Darwin" or platform.machine() == "arm64"
