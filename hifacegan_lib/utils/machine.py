"""The machine: which device computes, and the software and hardware behind a result.

A device is chosen without an import of PyTorch on machines that have only a CPU.
"""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from hifacegan_lib.names import ParamsError

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "lpips", "papermill")

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
        return any(any(Path("/dev").glob(pattern)) for pattern in GPU_FILES)
    return platform.system() != "Darwin" or platform.machine() == "arm64"


def environment() -> dict[str, Any]:
    """Versions of Python and packages, CPU threads, GPU and commit, as JSON values."""
    import cv2
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES}
        | {"opencv": cv2.__version__},  # from the module: OpenCV's package has several names
        "workbench": importlib.metadata.version("hifacegan-workbench"),
        "commit": _commit(),
    }


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    try:
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+changes" if dirty.stdout else "")
