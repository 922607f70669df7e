"""The two halves of ``train()``, switched one by one, and the network without them.

A published generator draws two different pictures: in ``train()`` batch statistics normalise and each forward moves the
spectral norms' vectors one step; in ``eval()`` stored averages normalise and stored vectors divide:

    statistics   on: of the batch at hand           off: running mean and variance
    step         on: one power iteration first      off: sigma = u^T W v of the stored vectors

:func:`draw` takes either, :func:`eval_safe` does away with both.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import spectral_layers, spectral_parts, step_as_published

FEW = 8  # pictures at once: a chunk of batch statistics


class Sigma(NamedTuple):
    """One spectrally normalised layer: u^T W v, by which eval() divides, and the largest singular value of W."""

    name: str
    stored: float
    true: float

    @property
    def deviation(self) -> float:
        """Of the stored one, relative."""
        return abs(self.stored / self.true - 1)


def spectral_sigmas(generator: Generator) -> list[Sigma]:
    """Stored and true sigma of every layer, in the network's order."""
    return [
        Sigma(name, _sigma(layer), _largest_singular_value(spectral_parts(layer)[0]))
        for name, layer in spectral_layers(generator).items()
    ]


def _sigma(layer: nn.Module) -> float:
    matrix, vectors = spectral_parts(layer)
    return torch.dot(vectors._u, matrix @ vectors._v).item()


def _largest_singular_value(matrix: Tensor) -> float:
    """By the eigenvalues of W W^T in double precision: W is four to nine times as wide as high."""
    wide = matrix.double()
    return torch.linalg.eigvalsh(wide @ wide.T)[-1].clamp_min(0).sqrt().item()


class Drift(NamedTuple):
    """One batch norm's running statistics against a batch's: the channels' root mean square."""

    name: str
    mean: float  # difference of the means, in running standard deviations
    spread: float  # difference of the logarithms of the standard deviations: 0.69 is a factor of two

    @property
    def size(self) -> float:
        """The larger of the two."""
        return max(self.mean, self.spread)


@torch.no_grad()
def batch_norm_drift(generator: Generator, batch: Tensor) -> list[Drift]:
    """Drift of every batch norm, in the network's order; empty without batch statistics."""
    running = {n: (m.running_mean.clone(), m.running_var.clone()) for n, m in _batch_norms(generator).items()}  # type: ignore[union-attr]
    drifts = []
    for name, (mean, variance) in batch_statistics(generator, batch).items():
        mean_0, variance_0 = running[name]
        shift = (mean - mean_0) / (variance_0 + 1e-5).sqrt()
        spread = ((variance + 1e-5) / (variance_0 + 1e-5)).log() / 2
        drifts.append(Drift(name, shift.square().mean().sqrt().item(), spread.square().mean().sqrt().item()))
    return drifts


@torch.no_grad()
def batch_statistics(generator: Generator, batch: Tensor, chunk: int = FEW) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance (with divisor n) of what enters each batch norm in ``train()``; name -> two tensors of C.

    Chunks are normalised by their own statistics, and joined by the law of total variance.
    """
    sums: dict[str, tuple[Tensor, Tensor]] = {}

    def collect(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double()
            first, second = sums.get(name, (x.new_zeros(1), x.new_zeros(1)))
            sums[name] = (first + x.mean((0, 2, 3)) * len(x), second + x.square().mean((0, 2, 3)) * len(x))

        return hook

    with _switched(generator, statistics=True, step=True):
        handles = [m.register_forward_pre_hook(collect(name)) for name, m in _batch_norms(generator).items()]
        for part in batch.split(chunk):
            generator(part)
        for handle in handles:
            handle.remove()
    means = {name: (first / len(batch), second / len(batch)) for name, (first, second) in sums.items()}
    return {name: (m.float(), (s - m**2).clamp_min(0).float()) for name, (m, s) in means.items()}


def _batch_norms(generator: Generator) -> dict[str, nn.BatchNorm2d]:
    named = generator.named_modules()
    return {name: m for name, m in named if isinstance(m, nn.BatchNorm2d)} if generator.config.norm == "batch" else {}


@contextlib.contextmanager
def _switched(generator: Generator, statistics: bool, step: bool) -> Iterator[None]:
    """The halves of ``train()``: batch statistics, one power iteration. State and mode come back afterwards."""
    mode, before = generator.training, {name: b.clone() for name, b in generator.named_buffers()}
    generator.train(statistics)
    if step and generator.config.published:
        step_as_published(generator)
    try:
        yield
    finally:
        generator.train(mode)
        for name, buffer in generator.named_buffers():
            buffer.copy_(before[name])


@torch.no_grad()
def draw(generator: Generator, batch: Tensor, statistics: bool, step: bool, together: bool = False) -> Tensor:
    """The pictures with the halves of ``train()`` on or off, each alone (as the authors test) or all together."""
    pictures = []
    for part in batch.split(len(batch) if together else 1):
        with _switched(generator, statistics, step):
            pictures.append(generator(part))
    return torch.cat(pictures)


def eval_safe(generator: Generator, batch: Tensor | None = None, chunk: int = FEW) -> Generator:
    """The same network without moving parts: one picture whatever the mode, the batch and the neighbours.

    Spectral norms are written into the weights: as ``train()`` divides for a published network, as ``eval()`` does for
    ours. Batch norms get the statistics of ``batch`` for good; with ``batch`` None each picture is normalised by its
    own, which is what the authors' way of testing, ``train()`` with one picture at a time, computes.
    """
    still = copy.deepcopy(generator)
    statistics = {} if batch is None or generator.config.norm != "batch" else batch_statistics(still, batch, chunk)
    if generator.config.published:
        step_as_published(still)
    state = {name: value for name, value in still.state_dict().items() if ".parametrizations." not in name}
    for name, layer in spectral_layers(still).items():  # not removed: that would break the layers it was copied from
        state[f"{name}.weight"] = layer.weight.detach()  # type: ignore[operator]
    for name, (mean, variance) in statistics.items():
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = mean, variance
    norm = generator.config.norm
    if norm == "batch":
        norm = "frozen" if batch is not None else "instance"
    if norm == "instance":
        state = {name: value for name, value in state.items() if ".batch_norm." not in name}
    safe = Generator(dataclasses.replace(generator.config, norm=norm, spectral_norm=False))
    safe.load_state_dict(state)
    return safe.eval()
