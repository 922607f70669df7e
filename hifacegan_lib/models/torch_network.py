"""Draw with PyTorch: on a GPU, in bfloat16, or a network without an ONNX file.

The network is a copy without state: spectral norms are divided into the weights, running statistics are frozen.
"""

import copy
import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.replenishment import Norm

Precision = Literal["float32", "bfloat16", "auto"]


def has_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Whether the device multiplies bfloat16 by instructions of its own."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def chosen_dtype(precision: Precision, device: str | torch.device) -> torch.dtype:
    """The dtype of a precision; ``auto`` is bfloat16 if :func:`has_bfloat16` says so, else float32.

    Raises:
        ValueError: no such precision.
    """
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision is one of float32, bfloat16, auto; got {precision!r}")
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """A copy in ``eval()``: of ``Generator``, also within a flow, spectral norms divided, running statistics frozen."""
    if isinstance(network, Generator):
        return without_spectral_norms(network, "frozen" if network.config.norm == "batch" else network.config.norm)
    still = copy.deepcopy(network).eval().requires_grad_(False)
    for name, child in network.named_children():  # of a flow
        if isinstance(child, Generator):
            setattr(still, name, folded(child))
    return still


def without_spectral_norms(generator: Generator, norm: Norm) -> Generator:
    """A copy in ``eval()`` with the spectral norms divided into the weights, and with another norm."""
    state = {name: value.clone() for name, value in generator.state_dict().items() if ".parametrizations." not in name}
    for name, layer in generator.spectral_layers().items():
        state[f"{name}.weight"] = layer.weight.detach().clone()  # type: ignore[operator]
    if norm not in ("batch", "frozen"):
        state = {name: value for name, value in state.items() if ".batch_norm." not in name}
    with torch.device("meta"):
        still = Generator(dataclasses.replace(generator.config, norm=norm, spectral_norm=False))
    still.load_state_dict(state, assign=True)
    return still.eval().requires_grad_(False)


class TorchNetwork:
    """Damaged faces N x 3 x H x W in [0, 1] -> restored faces of the same shape and range, any H and W.

    Arrays give float32 arrays, tensors give float32 tensors on the generator's device.

    Args:
        generator: any network of such faces, on its device; stays as it is. For what a published network draws in
            ``train()``, the way its authors test it, give ``train_eval.eval_safe`` of it.
        precision: ``bfloat16`` is autocast, but the last layer of :class:`Generator` draws in float32; ``auto`` is
            bfloat16 on devices that have instructions for it.
    Raises:
        ValueError: another precision; in a call, what :class:`Generator` refuses.
    """

    def __init__(self, generator: nn.Module, precision: Precision = "float32") -> None:
        self.device = next(generator.parameters()).device
        self.dtype = chosen_dtype(precision, self.device)
        self.network = folded(generator).to(memory_format=torch.channels_last)
        for part in list(self.network.modules()):
            if isinstance(part, Generator):
                part.draw = InFloat32(part.draw)  # type: ignore[assignment]

    @torch.no_grad()
    def __call__(self, image: Any) -> Any:
        x = torch.as_tensor(image, dtype=torch.float32, device=self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            drawn: Tensor = self.network(x).float()
        return drawn.cpu().numpy() if isinstance(image, np.ndarray) else drawn


class InFloat32(nn.Module):
    """A layer that computes in float32 under autocast too."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())
