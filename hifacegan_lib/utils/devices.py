"""The choice of the device, without an import of PyTorch on machines that have only a CPU."""

import platform
from pathlib import Path

from hifacegan_lib.names import ParamsError

GPU_FILES = ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg", "kfd")  # in /dev: NVIDIA's, Jetson's, WSL's, AMD's


def find_device(name: str = "auto") -> str:
    """Choose a device: ``auto`` is CUDA if available, else Apple's MPS, else the CPU.

    Args:
        name: auto, cpu, cuda, cuda:N or mps.
    Raises:
        ParamsError: the named device is not available.
    """
    if name == "cpu" or (name == "auto" and not gpu_is_possible()):
        return "cpu"
    import torch  # imported here, since it takes seconds

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, present in there.items() if present)
    if not there[torch.device(name).type]:
        raise ParamsError(f"device = {name!r}: not available here; available: {[k for k, v in there.items() if v]}")
    return name


def gpu_is_possible() -> bool:
    """False on Linux without a GPU's device file and on Intel Macs; True means only that a GPU is possible."""
    if platform.system() == "Linux":
        return any(True for pattern in GPU_FILES for _ in Path("/dev").glob(pattern))
    return platform.system() != "Darwin" or platform.machine() == "arm64"
