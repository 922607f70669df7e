"""Weights on the disk: written whole or not at all, read without running anyone's code.

A generator is a safetensors file whose metadata hold its ``GeneratorConfig`` and what it was trained for. For a network
of another class they hold the name of the class, and the file is loaded into such a network. A training checkpoint is a
folder ``step_000500/`` with ``generator.safetensors``, ``ema.safetensors`` and ``state.pt``; it is filled under another
name and renamed, so a killed process leaves the previous one whole.
"""

import contextlib
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.utils import files

FORMAT = "hifacegan-generator-1"


def save_generator(path: str | Path, generator: nn.Module, info: dict[str, Any] | None = None) -> Path:
    """Write weights and config as safetensors; ``info`` (JSON values: image size, recipe, step) travels along."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    description: dict[str, Any] = {"format": FORMAT, "config": None, "info": info or {}}
    if type(generator) is Generator:
        description["config"] = dataclasses.asdict(generator.config)
    else:
        description["class"] = type(generator).__name__
    metadata = {"hifacegan": json.dumps(description)}  # one entry: safetensors writes several in random order
    return files.write_bytes(path, save(tensors, metadata))


def load_generator(
    path: str | Path, device: str | torch.device = "cpu", network: nn.Module | None = None
) -> tuple[Any, dict[str, Any]]:
    """A generator in ``eval()`` on ``device``, and the info that was saved with it.

    Args:
        network: gets the weights of a file of its class; without it the file must be of the class ``Generator``, which
            is made by the config in the file.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not one of our generator files, of another class, or its weights do not fit.
    """
    description, tensors = _read(path)
    there = description.get("class", Generator.__name__)
    if network is None and there == Generator.__name__:
        network = Generator(GeneratorConfig.from_dict(description["config"]))
    if network is None:
        raise ValueError(f"{path}: weights of the class {there!r}; expected network={there}(...), to load them into")
    if there != type(network).__name__:
        raise ValueError(f"{path}: weights of the class {there!r}, expected {type(network).__name__!r}")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the config or the class ({error})") from None
    return network.to(device).eval(), description["info"]


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a generator's file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("hifacegan", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None
    if description.get("format") != FORMAT:
        raise ValueError(f"{path}: the metadata's format is {description.get('format')!r}, expected {FORMAT!r}")
    return description, tensors


def save_training(
    folder: str | Path,
    step: int,
    generator: nn.Module,
    ema: nn.Module,
    state: dict[str, Any],
    info: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Write ``folder/step_<step>``, then remove all but the ``keep`` newest.

    ``state`` holds tensors and plain values.

    Raises:
        OSError: it could not be written (a full disk, no permission); the earlier ones are untouched.
    """
    folder = Path(folder)
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
        _flush_folder(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        whole = [path.name for path in steps(folder)]
        kept = f"{whole[-1]} is whole" if whole else "there is no earlier one"
        raise OSError(f"{target}: cannot be written ({error.strerror or error}); {kept}") from None
    for old in steps(folder)[:-keep]:
        if old != target:
            shutil.rmtree(old)
    return target


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The differences of two nested mappings, a sentence each: ``steps: 750 there, 900 asked``."""
    old, new = _flat(there), _flat(asked)
    return [
        f"{key}: {old.get(key, 'nothing')!r} there, {new.get(key, 'nothing')!r} asked"
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key, ...) != new.get(key, ...)
    ]


def refuse_differences(where: str, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Nothing happens when both are the same.

    Raises:
        ValueError: they differ; the message names ``where`` and lists up to eight differences.
    """
    found = differences(there, asked)
    if found:
        more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
        raise ValueError(f"{where} is of another run ({'; '.join(found[:8])}{more})")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping with dotted keys."""
    if isinstance(values, Mapping):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list | tuple):
        items = [(str(number), value) for number, value in enumerate(values)]
    else:
        return {prefix: values}
    return {k: v for key, value in items for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}


def load_state(folder: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The training state of one checkpoint folder; tensors and plain values only."""
    return torch.load(Path(folder) / "state.pt", map_location=device, weights_only=True)


def steps(folder: str | Path) -> list[Path]:
    """The complete checkpoints below ``folder``, by rising step."""
    numbered = {int(n): p for p in Path(folder).glob("step_*") if (n := p.name.removeprefix("step_")).isdecimal()}
    return [path for _, path in sorted(numbered.items()) if (path / "state.pt").is_file()]


def latest_generator(run: str | Path) -> Path:
    """The averaged weights of a run's newest checkpoint.

    Raises:
        FileNotFoundError: the run has none.
    """
    found = steps(Path(run) / "checkpoints")
    if not found:
        raise FileNotFoundError(f"{run}: no checkpoint of a training run below it")
    return found[-1] / "ema.safetensors"


def _flush_folder(path: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):  # mounted drives, Windows
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
