"""Train a small published generator like its authors, and compare ``train()`` and ``eval()``: docs/doctor.md's tables.

Why do the authors test in ``train()``? There are two explanations, and this script trains in both ways:

    kept    spectral norm works; only the running averages of batch norm may not fit
    lost    the vectors of spectral norm never change: until 1.0 PyTorch's DataParallel updated only those of replicas

In 2018 the divided weight was a buffer, which was also lost with the replicas and which ``eval()`` used: the table row
"old PyTorch".

The faces are drawn, damaged by ``face_renov``, and the loss is L1 only; initialisation, batch and betas are the
authors'.

    python docs/doctor.py --steps 600 --variant hifacegan lipspade
"""

import argparse
import contextlib
import copy
import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation import doctor
from hifacegan_lib.models import train_eval
from hifacegan_lib.models.generator import PUBLISHED, Generator
from hifacegan_lib.models.published import spectral_parts, step_as_published
from hifacegan_lib.utils.images import to_float

REGIMES = ("kept", "lost")


def train_as_published(
    regime: str, variant: str, width: int, size: int, steps: int, seed: int = 0
) -> tuple[Generator, Generator]:
    """A small published generator after ``steps`` of L1 on drawn faces, two per step, and its initial state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(dataclasses.replace(PUBLISHED[variant], width=width))
        _initialise_as_published(generator)
    beginning = copy.deepcopy(generator).eval()
    optimizer = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.9))
    faces = list(pairs(range(1000, 1064), size))
    generator.train()
    for step in range(steps):
        degraded, clean = (
            torch.stack(part) for part in zip(*(faces[(2 * step + k) % 64] for k in (0, 1)), strict=True)
        )
        with _vector_changes(generator, keep=regime == "kept"):
            step_as_published(generator)
            loss = F.l1_loss(generator(degraded), clean)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    return generator.eval(), beginning


def pairs(seeds: range, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Degraded and clean drawn faces, each 3 x size x size."""
    recipe = load_recipe("face_renov")
    for seed in seeds:
        face = portrait(seed, size)
        yield to_float(recipe.sample(seed, grid=size).apply(face)), to_float(face)


def _initialise_as_published(generator: Generator) -> None:
    """Xavier initialisation with gain 0.02, zero biases, random vectors of spectral norm."""
    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            holder = module.parametrizations.weight.original if hasattr(module, "parametrizations") else module.weight
            nn.init.xavier_normal_(holder, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in generator.spectral_layers().values():
        for vector in spectral_parts(layer)[1].buffers():
            vector.copy_(F.normalize(torch.randn_like(vector), dim=0))


@contextlib.contextmanager
def _vector_changes(generator: Generator, keep: bool) -> Iterator[None]:
    """Keep the changes of the spectral norms' vectors, or undo them, as with the replicas of DataParallel."""
    held = [vector for layer in generator.spectral_layers().values() for vector in spectral_parts(layer)[1].buffers()]
    before = [vector.clone() for vector in held]
    yield
    for vector, former in zip(held, before, strict=True):
        if not keep:
            vector.copy_(former)


@torch.no_grad()
def as_old_pytorch(generator: Generator, beginning: Generator) -> Generator:
    """The trained network with initial, undivided weights in normalised layers, as in old PyTorch's DataParallel."""
    old = copy.deepcopy(generator)
    for layer, first in zip(old.spectral_layers().values(), beginning.spectral_layers().values(), strict=True):
        (matrix, vectors), (initial, _) = spectral_parts(layer), spectral_parts(first)
        matrix.copy_(initial)
        v = initial.T @ vectors._u
        vectors._v.copy_(v / v.square().sum())  # u^T W v = 1
    return old


@torch.no_grad()
def without_v(generator: Generator) -> Generator:
    """The network as imported from a file without the vectors v: v = W^T u, normalised to unit length."""
    old = copy.deepcopy(generator)
    for layer in old.spectral_layers().values():
        matrix, vectors = spectral_parts(layer)
        vectors._v.copy_(F.normalize(matrix.T @ vectors._u, dim=0))
    return old


@torch.no_grad()
def pictures(generator: Generator, beginning: Generator, degraded: Tensor) -> dict[str, Tensor]:
    """Outputs with both parts of ``train()`` on and off (one image per batch), of repaired networks and old PyTorch."""
    return {
        "train()": train_eval.draw(generator, degraded, statistics=True, step=True),
        "batch statistics alone": train_eval.draw(generator, degraded, statistics=True, step=False),
        "power step alone": train_eval.draw(generator, degraded, statistics=False, step=True),
        "eval()": train_eval.draw(generator, degraded, statistics=False, step=False),
        "eval-safe, frozen": train_eval.eval_safe(generator, degraded)(degraded),
        "eval-safe, own": train_eval.eval_safe(generator)(degraded),
        "eval(), file without v": without_v(generator)(degraded),
        "eval(), old PyTorch": as_old_pytorch(generator, beginning)(degraded),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="side of the faces, pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial weights")
    parser.add_argument("--variant", choices=sorted(PUBLISHED), nargs="+", default=["hifacegan"])
    options = parser.parse_args()
    degraded, clean = (torch.stack(part) for part in zip(*pairs(range(16), options.size), strict=True))
    print(f"input {doctor.psnr(degraded, clean):.2f} dB")
    for variant in options.variant:
        for regime in REGIMES:
            generator, beginning = train_as_published(
                regime, variant, options.width, options.size, options.steps, options.seed
            )
            sigmas, drifts = train_eval.spectral_sigmas(generator), train_eval.batch_norm_drift(generator, degraded)
            print(f"\n{variant}, {regime}: sigma off by up to {sigmas['deviation'].max():.1%}, ", end="")
            print(f"drift up to {drifts['size'].max():.2f}")
            shown = pictures(generator, beginning, degraded)
            if regime == "kept":  # nothing was lost there
                del shown["eval(), old PyTorch"]
            print(f"| {'':24} | to clean, dB | to train(), dB | changes the input by |")
            for name, picture in shown.items():
                change = (picture - degraded).abs().mean().item()
                print(f"| {name:24} | {doctor.psnr(picture, clean):12.2f} | ", end="")
                print(f"{doctor.psnr(picture, shown['train()']):14.1f} | {change:20.4f} |")
            print(doctor.culprit(doctor.examine(generator, degraded)))


if __name__ == "__main__":
    main()
