"""On Colab: install the workbench that a notebook's first cell fetched, and keep data, runs and weights on Drive."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if importlib.util.find_spec("hifacegan_lib") is None:
    subprocess.run(["bash", str(ROOT / "notebooks" / "colab.sh")], check=True)
    sys.path.insert(0, str(ROOT))  # this kernel was started before the installation and does not see it
os.environ.setdefault("HIFACEGAN_HOME", "/content/drive/MyDrive/hifacegan")
os.environ.setdefault("TORCH_HOME", "/content/drive/MyDrive/hifacegan/weights")
