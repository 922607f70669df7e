"""The two differences between ``train()`` and ``eval()``, switched separately, and a network without them.

A published generator gives two different outputs. ``train()`` normalises by batch statistics, and each forward pass
updates the vectors of the spectral norms by one step. ``eval()`` uses running averages and the stored vectors:

    statistics   on: mean and variance of the batch      off: running mean and variance
    step         on: one power iteration before          off: sigma = u^T W v of the stored vectors

:func:`draw` switches each of them; :func:`eval_safe` builds a network that has neither.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import spectral_layers, spectral_parts, step_as_published

CHUNK = 8  # images of one forward pass for batch statistics


def spectral_sigmas(generator: Generator) -> pd.DataFrame:
    """A row for each spectrally normalised layer, in the network's order.

    Columns: ``stored``, u^T W v, by which eval() divides; ``true``, the largest singular value of W; ``deviation``, the
    relative one of the stored value. The true value comes from the eigenvalues of W W^T in double precision, because W
    has four to nine times as many columns as rows.
    """
    rows = {}
    for name, layer in spectral_layers(generator).items():
        matrix, vectors = spectral_parts(layer)
        largest = torch.linalg.eigvalsh(matrix.double() @ matrix.double().T)[-1].clamp_min(0).sqrt()
        rows[name] = (torch.dot(vectors._u, matrix @ vectors._v).item(), largest.item())
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["stored", "true"], dtype=float)
    return found.assign(deviation=(found["stored"] / found["true"] - 1).abs())


@torch.no_grad()
def batch_norm_drift(generator: Generator, batch: Tensor) -> pd.DataFrame:
    """A row for each batch norm: its running statistics against those of a batch, root mean square over channels.

    Columns: ``mean``, difference of the means in running standard deviations; ``spread``, difference of the logarithms
    of the standard deviations (0.69 is a factor of two); ``size``, the larger of the two.
    """
    buffers, rows = dict(generator.named_buffers()), {}
    for name, (mean, variance) in batch_statistics(generator, batch).items():
        before = buffers[f"{name}.running_var"] + 1e-5
        shift = (mean - buffers[f"{name}.running_mean"]) / before.sqrt()
        spread = ((variance + 1e-5) / before).log() / 2
        rows[name] = [x.square().mean().sqrt().item() for x in (shift, spread)]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "spread"], dtype=float)
    return found.assign(size=found.max(axis=1))


@torch.no_grad()
def batch_statistics(generator: Generator, batch: Tensor, chunk: int = CHUNK) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance (divisor n) of the input of each batch norm in ``train()``; name -> two tensors of C values.

    Each chunk is normalised by its own statistics; the law of total variance combines the chunks.
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
    """Switch batch statistics and the power iteration of ``train()``; afterwards state and mode are restored."""
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
    """The generator's output, image by image as in the authors' test code, or with the whole batch ``together``."""
    pictures = []
    for part in batch.split(len(batch) if together else 1):
        with _switched(generator, statistics, step):
            pictures.append(generator(part))
    return torch.cat(pictures)


def eval_safe(generator: Generator, batch: Tensor | None = None, chunk: int = CHUNK) -> Generator:
    """The same network without state: the output depends neither on the mode nor on other images of the batch.

    Spectral norms are written into the weights: with the sigma of ``train()`` for a published network, with that of
    ``eval()`` for any other. Batch norms get fixed statistics, those of ``batch``. If ``batch`` is None, each image is
    normalised by its own statistics; the authors' test code, ``train()`` with one image at a time, computes the same.
    """
    copied = copy.deepcopy(generator)
    statistics = {} if batch is None or generator.config.norm != "batch" else batch_statistics(copied, batch, chunk)
    if generator.config.published:
        step_as_published(copied)
    state = {name: value for name, value in copied.state_dict().items() if ".parametrizations." not in name}
    for name, layer in spectral_layers(copied).items():  # removing the norm would change the original too
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
