"""Weights on disk: files are written atomically, and reading them runs no code from the file.

A generator is a safetensors file. Its metadata hold information about the training, and the values from which
:mod:`hifacegan_lib.models.networks` builds the network. For a class of the reader's own they hold the class's name,
and the weights are loaded into a given network of that class. A training checkpoint is a folder ``step_000500/`` with
``generator.safetensors``, ``ema.safetensors`` and ``state.pt`` (optimizers, discriminator, random numbers, step: see
:mod:`hifacegan_lib.training.state`). The folder is written under a temporary name and renamed, so a killed process does
not damage the previous checkpoint.
"""

import io
import json
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hifacegan_lib.models import networks, quantized
from hifacegan_lib.utils import files

FORMAT = "hifacegan-generator-1"


def save_generator(
    path: str | Path,
    generator: nn.Module,
    info: dict[str, Any] | None = None,
    packed: Mapping[str, Tensor] | None = None,
    base: str = "",
) -> Path:
    """Write weights and config as safetensors.

    Args:
        info: JSON values for the metadata: image size, recipe, step.
        packed: the generator's weights in few bits, see :mod:`quantized`.
        base: name of a file beside ``path``, without ``.safetensors``, from whose weights ``packed`` are differences.
    """
    description = {"format": FORMAT, **networks.describe(generator), "info": info or {}}
    return write(path, packed or generator.state_dict(), description | ({"base": base} if base else {}))


def write(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Path:
    """Write tensors as safetensors; the description, JSON values with a ``format``, is metadata."""
    values = {  # copies: safetensors refuses weights that layers share
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    metadata = {"hifacegan": json.dumps(description)}  # one entry: safetensors writes several entries in random order
    return files.write_bytes(path, save(values, metadata))


def load_generator(
    path: str | Path, device: str | torch.device = "cpu", network: nn.Module | None = None
) -> tuple[Any, dict[str, Any]]:
    """A generator in ``eval()`` on ``device``, and the info that was saved with it.

    Args:
        network: for a class of the reader's own: a network of that class, into which the weights are loaded. Of a flow
            it may be the trained network alone.
    Raises:
        FileNotFoundError: the file does not exist. ImportError: the network needs spandrel, which is not installed.
        ValueError: the workbench did not write the file, the class is different, or the weights do not fit.
    """
    description, tensors = read(path)
    with torch.random.fork_rng(devices=[]):  # the random weights are replaced
        try:
            network = networks.rebuild(description, network)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    if quantized.packed(tensors):
        tensors = {name: torch.from_numpy(value) for name, value in quantized.read(path)[0].items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the config or the class ({error})") from None
    return network.to(device).eval(), description["info"]


def read(path: str | Path, expected: str = FORMAT) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors of a file that :func:`write` wrote.

    Raises:
        FileNotFoundError: no such file. ValueError: not a safetensors file, or another format than the expected one.
    """
    _require(path)
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("hifacegan", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a safetensors file of this workbench ({error})") from None
    if description.get("format") != expected:
        raise ValueError(f"{path}: the metadata's format is {description.get('format')!r}, expected {expected!r}")
    return description, tensors


def read_foreign(path: str | Path) -> dict[str, Any]:
    """The mapping in a file of another program: safetensors, or what ``torch.save`` wrote; runs no code from it.

    Raises:
        FileNotFoundError: no such file. ValueError: the file holds more than tensors and plain values.
    """
    _require(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another pickle protocol
            is_safetensors = Path(path).suffix == ".safetensors"
            content = load_file(path) if is_safetensors else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        says = str(error).strip().partition("\n")[0] or type(error).__name__
        if named or says.startswith("Weights only load failed"):  # PyTorch goes on with how to run the code after all
            says = f"it asks for {named[1] if named else 'other objects'}, and no code from a file is run"
        raise ValueError(f"{path}: not a file with only tensors ({says})") from None
    return {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}


def _require(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")


def save_training(
    folder: Path,
    step: int,
    generator: nn.Module,
    ema: nn.Module,
    state: dict[str, Any],
    info: dict[str, Any],
    keep: int,
) -> Path:
    """Write ``folder/step_<step>``, then remove all checkpoints but the ``keep`` newest.

    ``state`` holds tensors and plain values.

    Raises:
        OSError: the checkpoint cannot be written (full disk, no permission); earlier checkpoints are unchanged.
    """
    target, partial = folder / f"step_{step:06d}", folder / f".step_{step:06d}.partial"
    content = io.BytesIO()
    torch.save({"step": step, **state}, content)
    try:
        shutil.rmtree(partial, ignore_errors=True)  # left by a killed process
        partial.mkdir(parents=True)
        save_generator(partial / "generator.safetensors", generator, info)
        save_generator(partial / "ema.safetensors", ema, info)
        files.write_bytes(partial / "state.pt", content.getvalue())
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        earlier = [path.name for path in list_complete(folder)]
        kept = f"{earlier[-1]} is complete" if earlier else "there is no earlier checkpoint"
        raise OSError(f"{target}: cannot be written ({error.strerror or error}); {kept}") from None
    for old in list_complete(folder)[:-keep]:
        if old != target:
            shutil.rmtree(old)
    return target


def differences(saved: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """The differences between two nested mappings, as texts like ``steps: 750 saved, 900 requested``."""
    old, new = _flatten(saved), _flatten(requested)
    return [
        f"{key}: {old.get(key, 'nothing')!r} saved, {new.get(key, 'nothing')!r} requested"
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key, ...) != new.get(key, ...)
    ]


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping with dotted keys."""
    if isinstance(values, Mapping):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list | tuple):
        items = [(str(number), value) for number, value in enumerate(values)]
    else:
        return {prefix: values}
    return {k: v for key, value in items for k, v in _flatten(value, f"{prefix}.{key}" if prefix else key).items()}


def load_state(folder: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The training state of a checkpoint folder: tensors and plain values only."""
    return torch.load(Path(folder) / "state.pt", map_location=device, weights_only=True)


def list_complete(folder: str | Path) -> list[Path]:
    """The complete checkpoints in ``folder``, by rising step."""
    numbered = {int(n): p for p in Path(folder).glob("step_*") if (n := p.name.removeprefix("step_")).isdecimal()}
    return [path for _, path in sorted(numbered.items()) if (path / "state.pt").is_file()]


def latest_generator(run: str | Path) -> Path:
    """The file with the averaged weights of a run's newest checkpoint.

    Raises:
        FileNotFoundError: the run has no complete checkpoint.
    """
    found = list_complete(Path(run) / "checkpoints")
    if not found:
        raise FileNotFoundError(f"{run}: no checkpoint of a training run in this folder")
    return found[-1] / "ema.safetensors"
