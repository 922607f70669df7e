"""A network for programs that know nothing of it: ONNX for other runtimes, ``torch.export`` for PyTorch alone.

Both hold the picture of ``generator.eval()`` in ordinary operators and float32, spectral norms divided and statistics
frozen. One input, ``image``, N x 3 x H x W in [0, 1]; one output, ``restored``, of the same shape.

    OUT.onnx    torch.onnx.export; needs the packages onnx and onnxscript (``pip install hifacegan-workbench[export]``)
    OUT.pt2     torch.export.save; ``torch.export.load(path).module()`` draws

N may vary, and H and W too unless ``fixed``, in whole multiples of the network's block.
:func:`export_graph` writes ONNX without the weights: one small file for all networks of a config.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from hifacegan_lib.models import onnx_network
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.networks import title
from hifacegan_lib.models.published import read_any
from hifacegan_lib.models.torch_network import folded
from hifacegan_lib.utils.files import atomic, write_bytes

OPSET = 18  # the oldest that torch.onnx.export writes without conversion


def export(
    generator: nn.Module, path: str | Path, size: int = 512, fixed: bool = False, info: dict[str, Any] | None = None
) -> Path:
    """Write ``path`` by its suffix, whole or not at all.

    Args:
        generator: on any device, in any mode; stays as it is.
        path: ``.onnx`` or ``.pt2``.
        size: side of the example pictures, pixels.
        fixed: the written network takes pictures of this size only.
        info: JSON values for the metadata of an ONNX file, ``image_size`` for example.
    Raises:
        ValueError: another suffix; a size that the network's blocks do not divide.
        ImportError: ONNX without its packages.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"{path}: the suffix tells the format, .onnx or .pt2")
    program = as_program(generator, size, fixed)
    written = _as_onnx(program, generator, info) if path.suffix == ".onnx" else None
    with atomic(path) as partial:
        if written:
            written.save(partial, external_data=False)
        else:
            torch.export.save(program, partial)
    return path


def export_graph(generator: nn.Module, path: str | Path) -> Path:
    """Write the graph of a network as ONNX, without its weights: :class:`onnx_network.OnnxNetwork` is given them.

    They are those of ``folded(generator)``; a network without spectral norms and batch statistics is folded already.

    Raises:
        ImportError: without the packages onnx and onnxscript.
    """
    weights = frozenset(onnx_network.STORED + name for name in folded(generator).state_dict())
    program = as_program(generator, 8 * block_of(generator), fixed=False)
    model = _as_onnx(program, generator, None, weights).model_proto
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            tensor.external_data.add(key="location", value="given beside the graph")
    model.graph.ClearField("value_info")
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")  # where in PyTorch's code each node comes from: ten times the graph
    return write_bytes(path, model.SerializeToString(deterministic=True))


def command(checkpoint: Path, out: Path, size: int, fixed: bool) -> str:
    """``hifacegan export``: the file of a checkpoint, ours or a published one, and a line about it."""
    generator, info = read_any(checkpoint)
    block = block_of(generator)
    if isinstance(generator, Flow):
        print(f"{title(generator)}: all its steps are written, which may take minutes", file=sys.stderr, flush=True)
    # by default the multiple of the block that is nearest to the training's size, at least two blocks
    example = size or max(2, round((info.get("image_size") or 256) / block)) * block
    export(generator, out, example, fixed, {**info, "architecture": title(generator)})
    takes = f"{example} x {example} pixels" if fixed else f"sides in multiples of {block} pixels"
    return f"{out}: image, N x 3 x H x W in [0, 1] -> restored; {takes}; {out.stat().st_size / 2**20:.1f} MB"


def block_of(network: nn.Module) -> int:
    """The sides of exported pictures are multiples of this, pixels; 1 for networks that are not ``Generator``."""
    return network.config.block if isinstance(network, Generator) else 1


def as_program(generator: nn.Module, size: int, fixed: bool) -> ExportedProgram:
    """The network as a graph of PyTorch's operators; a flow with the noise of its size as a constant.

    Raises:
        ValueError: the size does not suit the network, or the network has no graph for any size.
    """
    block = block_of(generator)
    if size < 1 or size % block:
        raise ValueError(f"size {size}: exported networks take sides that are multiples of {block} pixels")
    if not fixed and size // block < 2:
        raise ValueError(f"size {size}: an example of any size must be larger than one block of {block} pixels")
    if not fixed and isinstance(generator, Flow):
        raise ValueError("a flow holds the noise of one size: export it with --fixed, fixed=True")
    network = folded(generator).cpu()
    shape = {0: Dim("images", min=1)}
    if not fixed:
        shape |= {2: block * Dim("rows", min=1), 3: block * Dim("columns", min=1)}
    example = torch.zeros(2, 3, size, size)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is to come in later versions of the exporter
        try:
            return torch.export.export(_NamedInput(network, size), (example,), dynamic_shapes=(shape,))
        except torch._dynamo.exc.UserError as error:  # the network's code asks for the sizes
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{title(generator)} has no graph for any size: --fixed, fixed=True ({reason})") from None


class _NamedInput(nn.Module):
    """The network with an input that is called ``image``, and with a flow's noise."""

    noise: torch.Tensor

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, Flow):
            self.register_buffer("noise", network.noise(size, size))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.sample(image, self.noise) if isinstance(self.network, Flow) else self.network(image)


def _as_onnx(
    program: ExportedProgram, generator: nn.Module, info: dict[str, Any] | None, kept: frozenset[str] = frozenset()
) -> torch.onnx.ONNXProgram:
    """The program in ONNX's operators; nothing is computed beforehand from the tensors named in ``kept``."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {' and '.join(missing)}: pip install hifacegan-workbench[export]")
    from onnxscript import optimizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program,
            input_names=["image"],
            output_names=["restored"],
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        assert written is not None  # only the exporter that is not based on dynamo returns no program
        if isinstance(generator, Flow):  # many steps: the time of optimize_ir grows with the square of the nodes
            optimizer.inline(written.model)
            optimizer.fold_constants(written.model)
            optimizer.remove_unused_nodes(written.model)
        else:
            optimizer.optimize_ir(
                written.model,
                should_fold=lambda node: False if any(x is not None and x.name in kept for x in node.inputs) else None,
            )
    written.model.metadata_props[onnx_network.KEY] = json.dumps({"block": block_of(generator), "info": info or {}})
    return written
