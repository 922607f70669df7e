"""The device is found as PyTorch would find it, and its cache lies where PyTorch looks for it."""

from pathlib import Path

import pytest
import torch

from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.machine import find_device, gpu_is_possible


def test_no_gpu_of_pytorch_is_overlooked() -> None:
    assert gpu_is_possible() or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert find_device() == expected


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_weights_lie_where_pytorch_looks_for_them(
    variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert weight_registry.path("yunet").parent == Path(torch.hub.get_dir()) / "checkpoints"
