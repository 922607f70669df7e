"""The software and hardware behind a result: versions, device, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import cv2
import torch

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "lpips", "papermill")


def environment() -> dict[str, Any]:
    """Versions of Python and packages, CPU threads, GPU and commit, as JSON values."""
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
