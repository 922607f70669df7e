"""The two differences between ``train()`` and ``eval()``, switched separately, and a network without them.

A published generator gives two different outputs. ``train()`` normalises by batch statistics, and each forward pass
updates the vectors of the spectral norms by one step. ``eval()`` uses running averages and the stored vectors:

    statistics   on: mean and variance of the batch      off: running mean and variance
    step         on: one power iteration before          off: sigma = u^T W v of the stored vectors

:func:`draw` switches each of them; :func:`eval_safe` builds a network that has neither.
"""

import contextlib
import copy
from collections.abc import Iterator
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import spectral_parts, step_as_published
from hifacegan_lib.models.torch_network import without_spectral_norms

CHUNK = 8  # images of one forward pass for batch statistics


def spectral_sigmas(generator: Generator) -> pd.DataFrame:
    """A row for each spectrally normalised layer, in the network's order.

    Columns: ``stored``, u^T W v, by which eval() divides; ``true``, the largest singular value of W; ``deviation``, the
    relative one of the stored value. The true value comes from the eigenvalues of W W^T in double precision, because W
    has four to nine times as many columns as rows.
    """
    rows = {}
    for name, layer in generator.spectral_layers().items():
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

    def add(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        first, second = sums.get(name, (x.new_zeros(1), x.new_zeros(1)))
        sums[name] = (first + x.mean((0, 2, 3)) * len(x), second + x.square().mean((0, 2, 3)) * len(x))

    norms = {name: layer for name, layer in generator.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    with _switched(generator, statistics=True, step=True):
        handles = [layer.register_forward_pre_hook(partial(add, name)) for name, layer in norms.items()]
        for part in batch.split(chunk):
            generator(part)
        for handle in handles:
            handle.remove()
    means = {name: (first / len(batch), second / len(batch)) for name, (first, second) in sums.items()}
    return {name: (m.float(), (s - m**2).clamp_min(0).float()) for name, (m, s) in means.items()}


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


@torch.no_grad()
def eval_safe(generator: Generator, batch: Tensor | None = None) -> Generator:
    """The same network without state: the output depends neither on the mode nor on other images of the batch.

    Spectral norms are written into the weights: with the sigma of ``train()`` for a published network, with that of
    ``eval()`` for any other. Batch norms get fixed statistics, those of ``batch``. If ``batch`` is None, each image is
    normalised by its own statistics; the authors' test code, ``train()`` with one image at a time, computes the same.
    """
    stepped, norm = copy.deepcopy(generator), generator.config.norm
    if generator.config.published:
        step_as_published(stepped)
    if norm != "batch":
        return without_spectral_norms(stepped, norm)
    if batch is None:
        return without_spectral_norms(stepped, "instance")
    safe = without_spectral_norms(stepped, "frozen")
    for name, statistics in batch_statistics(generator, batch).items():
        layer = safe.get_submodule(name)
        layer.running_mean, layer.running_var = statistics
    return safe
