"""A generator for programs that know nothing of it: ONNX for other runtimes, ``torch.export`` for PyTorch alone.

Both hold the picture of ``generator.eval()`` in ordinary operators and float32, spectral norms divided and statistics
frozen. One input, ``image``, N x 3 x H x W in [0, 1]; one output, ``restored``, of the same shape.

    OUT.onnx    torch.onnx.export; needs the packages onnx and onnxscript (``pip install hifacegan-workbench[export]``)
    OUT.pt2     torch.export.save; ``torch.export.load(path).module()`` draws

What stays open is N, and with ``sizes="any"`` also H and W, in whole multiples of the network's block.
"""

import importlib.util
import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from hifacegan_lib.models.baking import folded
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import read_any

Sizes = Literal["any", "fixed"]

OPSET = 18  # the oldest that torch.onnx.export writes without conversion


def export(generator: Generator, path: str | Path, size: int = 512, sizes: Sizes = "any") -> Path:
    """Write ``path`` by its suffix, whole or not at all.

    Args:
        generator: on any device, in any mode; stays as it is.
        path: ``.onnx`` or ``.pt2``.
        size: side of the example pictures in pixels, and the only one with ``sizes="fixed"``.
    Raises:
        ValueError: another suffix; a size that the network's blocks do not divide.
        ImportError: ONNX without its packages.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"{path}: the suffix tells the format, .onnx or .pt2")
    program = exported(generator, size, sizes)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial.{path.name}")  # both writers look at the suffix
    if path.suffix == ".onnx":
        _save_onnx(program, partial)
    else:
        torch.export.save(program, partial)
    partial.replace(path)
    return path


def command(checkpoint: Path, out: Path, size: int, sizes: Sizes) -> str:
    """``hifacegan export``: the file of a checkpoint, ours or a published one, and a line about it."""
    generator, info = read_any(checkpoint)
    example = size or info.get("image_size") or 256
    if not size:  # the nearest that its blocks divide, and that leaves the sides open
        example = max(2, round(example / block_size(generator))) * block_size(generator)
    export(generator, out, example, sizes)
    block = block_size(generator)
    takes = f"sides in multiples of {block} pixels" if sizes == "any" else f"{example} x {example} pixels"
    return f"{out}: image, N x 3 x H x W in [0, 1] -> restored; {takes}; {out.stat().st_size / 2**20:.1f} MB"


def exported(generator: Generator, size: int = 512, sizes: Sizes = "any") -> ExportedProgram:
    """The network as a graph of PyTorch's operators."""
    block = block_size(generator)
    if sizes not in ("any", "fixed"):
        raise ValueError(f"sizes is any or fixed, got {sizes!r}")
    if size < 1 or size % block:
        raise ValueError(f"size {size}: exported networks take sides that are multiples of {block} pixels")
    if sizes == "any" and size // block < 2:
        raise ValueError(f"size {size}: an example of any size must be larger than one block of {block} pixels")
    network = folded(generator).cpu()
    shape = {0: Dim("images", min=1)}
    if sizes == "any":
        shape |= {2: block * Dim("rows", min=1), 3: block * Dim("columns", min=1)}
    example = torch.zeros(2, 3, size, size)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is to come in later versions of the exporter
        return torch.export.export(_Drawn(network), (example,), dynamic_shapes=(shape,))


def block_size(generator: Generator) -> int:
    """What sides must be multiples of where nobody pads them, pixels."""
    return generator.config.patch * 2**generator.config.stages


class _Drawn(nn.Module):
    """Gives the one input its name."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)


def _save_onnx(program: ExportedProgram, path: Path) -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {' and '.join(missing)}: pip install hifacegan-workbench[export]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program,
            input_names=["image"],
            output_names=["restored"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if written is None:
        raise RuntimeError("torch.onnx.export returned no program")
    written.save(path, external_data=False)
