"""Read checkpoints of the published code into :class:`Generator`, which then gives the same output.

The names and shapes of the tensors determine variant, width and norm:

    lip_encoder.model.*      lipspade      else  encoder.encoder_0.*      hifacegan      else      spade
    G_middle_0 or g_middle_0               github.com/Lotayou/Face-Renovation or BasicSR, whose HiFaceGAN is lipspade
    to_rgbs.3.weight, dimension 1          width
    param_free_norm.running_mean           batch statistics; without these tensors, instance statistics
    conv_0.weight_orig                     spectral norm, with the vectors weight_u and (not in older files) weight_v

Files may wrap the weights (``params_ema``, ``params``, ``state_dict``) and put a prefix before each name (``module.``).
Reading runs no code from the file.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.replenishment import Norm

WRAPPERS = ("params_ema", "params", "state_dict")
COMMON_TENSOR = "head_0.norm_0.mlp_shared.0.weight"  # every variant has it
MAX_LISTED = 8  # differences that an error lists
UNUSED = ("to_rgbs.0.", "to_rgbs.1.", "to_rgbs.2.")  # beginnings of names: heads of lower resolutions

_Names = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
NAMES: _Names = (  # a part of our name -> of the published one
    (r"^replenish\.5\.", "head_0."),
    (r"^replenish\.4\.", "G_middle_0."),
    (r"^middle\.", "G_middle_1."),
    (r"^replenish\.([0-3])\.", lambda m: f"ups.{3 - int(m[1])}."),
    (r"^start\.", "fc."),
    (r"^draw\.", "to_rgbs.3."),
    (r"\.shared\.", ".mlp_shared.0."),
    (r"\.batch_norm\.", ".param_free_norm."),
    (r"\.shortcut\.", ".conv_s."),
    (r"parametrizations\.weight\.original$", "weight_orig"),
    (r"parametrizations\.weight\.0\._([uv])$", r"weight_\1"),
)
ENCODERS: dict[str, _Names] = {
    "spade": (),
    "hifacegan": (
        (r"^head\.", "encoder.head.0."),
        (r"^suppress\.(\d)\.gate\.", r"encoder.encoder_\1.0.logit."),
        (r"^suppress\.(\d)\.conv\.", r"encoder.encoder_\1.1."),
    ),
    "lipspade": (
        (r"^head\.", "lip_encoder.model.0."),
        (r"^suppress\.(\d)\.gate\.", lambda m: f"lip_encoder.model.{3 + 4 * int(m[1])}.logit."),
        (r"^suppress\.(\d)\.conv\.", lambda m: f"lip_encoder.model.{4 + 4 * int(m[1])}."),
    ),
}


def read_any(path: str | Path, norm: Norm | None = None) -> tuple[Any, dict[str, Any]]:
    """A network of this workbench, or a generator of the published code, in ``eval()``, and its description.

    Args:
        path: a ``.safetensors`` file, or a file that ``torch.save`` wrote.
        norm: of a published file: replaces the norm that the names imply. For files without batch statistics the norm
            is ``instance``: BasicSR uses it, and ``batch`` computes the same in ``train()`` for one image. The norm
            that Face-Renovation's options call instance is ``rms``.
    Returns:
        The network, and its info; ``info["source"]`` names the program that wrote the file.
    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file holds more than tensors, or no generator, or tensors that do not fit; the first differences
            are listed as name, found shape, expected shape.
    """
    try:
        generator, info = checkpoints.load_generator(path)
        return generator, {"source": "this workbench", **info}
    except ValueError as error:
        if Path(path).suffix == ".safetensors" and "format" not in str(error):
            raise
    tensors = checkpoints.read_foreign(path)
    try:
        return import_state(tensors, norm)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def import_state(content: Mapping[str, Any], norm: Norm | None = None) -> tuple[Generator, dict[str, Any]]:
    """The generator in a published file's content, in ``eval()``, and its origin; otherwise as :func:`read_any`."""
    tensors = _unwrapped(content)
    basicsr = any(name.startswith("g_middle_") for name in tensors)
    found = {re.sub("^g_middle_", "G_middle_", name): value for name, value in tensors.items()}
    config = infer_config(found, norm)
    _complete(found, config)
    with torch.random.fork_rng(devices=[]):
        generator = Generator(config)
    ours = generator.state_dict()
    theirs = {name: _published_names(name, variant(config)) for name in ours}
    _refuse_differences(found, ours, theirs)
    parts = {name: [found[published] for published in names] for name, names in theirs.items()}
    generator.load_state_dict({name: torch.cat(p) if len(p) > 1 else p[0] for name, p in parts.items()})
    return generator.eval(), {"source": "BasicSR" if basicsr else "Face-Renovation", "variant": variant(config)}


def _unwrapped(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The named tensors of a file's content, without wrappers and prefix."""
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    prefix = next((name.removesuffix(COMMON_TENSOR) for name in tensors if name.endswith(COMMON_TENSOR)), None)
    if prefix is None:
        some = ", ".join([*list(tensors)[:3], *(["..."] if len(tensors) > 3 else [])])
        raise ValueError(f"no published generator: no tensor {COMMON_TENSOR} among {len(tensors)} ({some})")
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def infer_config(tensors: Mapping[str, Tensor], norm: Norm | None = None) -> GeneratorConfig:
    """The config, from the tensors' names and shapes: variant, width, norm, spectral norm."""
    kinds = {"lip_encoder.": "lipspade", "encoder.encoder_0.": "hifacegan"}
    kind = next((kinds[p] for p in kinds if any(name.startswith(p) for name in tensors)), "spade")
    if "to_rgbs.3.weight" not in tensors:
        raise ValueError(f"no published generator: no tensor to_rgbs.3.weight among {len(tensors)}")
    buffers = any("param_free_norm.running_mean" in name for name in tensors)
    if norm in ("batch", "frozen") and not buffers:
        raise ValueError(
            f"norm = {norm!r}: the file has no batch statistics; the norm instance computes the same as train()"
        )
    return dataclasses.replace(
        PUBLISHED[kind],
        width=tensors["to_rgbs.3.weight"].shape[1],
        norm=norm or ("batch" if buffers else "instance"),
        spectral_norm=any(name.endswith(".weight_orig") for name in tensors),
    )


def variant(config: GeneratorConfig) -> str:
    """``spade``, ``lipspade`` or ``hifacegan``; ``ours`` for a network that is not published."""
    if not config.published:
        return "ours"
    same = ((name, preset) for name, preset in PUBLISHED.items())
    return next(name for name, p in same if (p.guidance, p.start) == (config.guidance, config.start))


@torch.no_grad()
def step_as_published(generator: Generator) -> None:
    """One power iteration, as the published code runs it in each forward pass of ``train()``.

    v <- W^T u, u <- W v, each normalised to unit length: the order of ``torch.nn.utils.spectral_norm``. This function
    and then ``generator.train()(image)`` give the same image as the authors' test code.
    """
    for layer in generator.spectral_layers().values():
        matrix, vectors = spectral_parts(layer)
        vectors._v.copy_(F.normalize(matrix.T @ vectors._u, dim=0))
        vectors._u.copy_(F.normalize(matrix @ vectors._v, dim=0))


def spectral_parts(layer: nn.Module) -> tuple[Tensor, Any]:
    """The weight before normalisation as C_out x (C_in K^2), and the module with its vectors ``_u`` and ``_v``."""
    stored: Any = layer.parametrizations.weight  # type: ignore[union-attr]
    return stored.original.detach().flatten(1), stored[0]


def _published_names(name: str, kind: str) -> list[str]:
    """The published names for a tensor of :class:`Generator`: two for gamma and beta, which it stores in one."""
    for ours, theirs in (*NAMES, *ENCODERS[kind]):
        name = re.sub(ours, theirs, name)
    if "gamma_beta" in name:
        return [name.replace("gamma_beta", half) for half in ("mlp_gamma", "mlp_beta")]
    return [name]


def _complete(found: dict[str, Tensor], config: GeneratorConfig) -> None:
    """Add tensors that older versions of PyTorch did not store, and remove unused tensors, in place."""
    unused = (*UNUSED, "fc.") if config.start == "features" else UNUSED  # no code calls lipspade's fc
    no_statistics = config.norm not in ("batch", "frozen")
    for name in list(found):
        if name.startswith(unused) or (no_statistics and ".param_free_norm." in name):
            del found[name]
    for name in [n for n in found if n.endswith(".running_mean")]:
        found.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    for name in [n.removesuffix("_orig") for n in found if n.endswith(".weight_orig")]:
        matrix, u, former = found[f"{name}_orig"].float().flatten(1), found.get(f"{name}_u"), found.pop(name, None)
        if f"{name}_v" in found or u is None or u.shape != matrix.shape[:1]:
            continue
        v = F.normalize(matrix.T @ u.float(), dim=0)
        if former is not None and (sigma := _ratio(matrix, former)) is not None:
            v *= sigma / (u.float() @ matrix @ v)
        found[f"{name}_v"] = v


def _ratio(matrix: Tensor, former: Tensor) -> Tensor | None:
    """The sigma by which the stored normalised weight was divided; None if that weight belongs to other weights.

    PyTorch stored the normalised weight until the end of 2018, and under DataParallel never updated it.
    """
    sigma = matrix.norm() / former.float().norm()
    fits = former.numel() == matrix.numel() and torch.allclose(former.float().flatten(1) * sigma, matrix, rtol=1e-3)
    return sigma if fits else None


def _refuse_differences(
    found: Mapping[str, Tensor], ours: Mapping[str, Tensor], theirs: Mapping[str, list[str]]
) -> None:
    shapes: dict[str, list[int]] = {}
    for name, tensor in ours.items():
        parts = tensor.chunk(len(theirs[name])) if tensor.ndim else [tensor]
        shapes |= {published: list(part.shape) for published, part in zip(theirs[name], parts, strict=True)}
    there = {name: list(tensor.shape) for name, tensor in found.items()}
    wrong = [
        f"{name}: found {there.get(name, 'nothing')}, expected {shapes.get(name, 'nothing')}"
        for name in shapes | there
        if shapes.get(name) != there.get(name)
    ]
    if wrong:
        more = f"\n  and {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
        raise ValueError(f"does not fit in {len(wrong)} tensors:\n  " + "\n  ".join(wrong[:MAX_LISTED]) + more)
