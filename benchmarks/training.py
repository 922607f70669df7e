"""Claim: our step of generator and discriminator is at least 1.5 times faster than the authors' on the CPU.

Both train the published network `hifacegan` (79.9 M parameters at width 48) and the paper's discriminator, by LSGAN and
feature matching, without the perceptual loss. Ours is `hifacegan_lib.training.loop.train`, with averaged weights; each
time it requests a batch, its clock stops and the authors' step runs. The authors' step is written from its description:
two passes of the generator and two of the discriminator, every gradient computed whether needed or not, Adam in a loop,
float32, layers as in `_authors.py`.

Memory is counted, not measured; see `_memory.py`.
"""

import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
import torch.nn.functional as F
from _authors import AuthorsDiscriminator, AuthorsGenerator
from _bench import OURS, Times, finish, machine, milliseconds, options, ratio, table
from _memory import without_numbers
from torch import Tensor, nn

from hifacegan_lib.models import published
from hifacegan_lib.models.discriminator import Discriminator
from hifacegan_lib.models.generator import PUBLISHED, Generator
from hifacegan_lib.params import Training
from hifacegan_lib.training import loop

AUTHORS = "authors"
FACES = 4  # batch size of the memory count
NEVER = 10**6
QUIET = {"steps": NEVER, "decay_steps": 0, "log_every": NEVER, "picture_every": NEVER, "checkpoint_every": NEVER}
PAPER = {"adversary_from": 0, "adversarial_weight": 1.0, "feature_matching_weight": 10.0, "l1_weight": 0.0}
ADAM = {"lr_generator": 1e-4, "lr_discriminator": 4e-4, "beta1": 0.0, "beta2": 0.9, "ema_decay": 0.999}


class Enough(Exception):
    """Raised in place of a batch, to end the loop."""


class AuthorsWay:
    """A training step as in the published code."""

    def __init__(self, width: int, device: str) -> None:
        with torch.device(device):
            self.generator, self.discriminator = AuthorsGenerator("hifacegan", width), AuthorsDiscriminator()
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), 1e-4, (0.0, 0.9), foreach=False)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), 4e-4, (0.0, 0.9), foreach=False)

    def step(self, degraded: Tensor, clean: Tensor) -> None:
        self.g_optimizer.zero_grad()
        fake, real = self.answers(degraded, self.generator(degraded), clean)
        scales = list(zip(fake, real, strict=True))
        layers = [(a, b.detach()) for f, r in scales for a, b in zip(f[:-1], r[:-1], strict=True)]
        matched = torch.stack([F.l1_loss(a, b) for a, b in layers]).sum() / 2  # mean over the two scales
        loss = torch.stack([(f[-1] - 1).square().mean() for f in fake]).mean() + 10 * matched
        loss.backward()
        self.g_optimizer.step()

        self.d_optimizer.zero_grad()
        with torch.no_grad():
            restored = self.generator(degraded)
        restored.requires_grad_()
        fake, real = self.answers(degraded, restored, clean)
        scores = [(f[-1], r[-1]) for f, r in zip(fake, real, strict=True)]
        terms = [(a.square().mean() + (b - 1).square().mean()) / 2 for a, b in scores]
        torch.stack(terms).mean().backward()
        self.d_optimizer.step()

    def answers(self, degraded: Tensor, restored: Tensor, clean: Tensor) -> tuple[list[list[Tensor]], ...]:
        """Features of restored and of clean faces, from one batch of both."""
        pairs = torch.cat([torch.cat([degraded, restored], 1), torch.cat([degraded, clean], 1)]) * 2 - 1
        both = self.discriminator(pairs)
        return tuple([[x.chunk(2)[half] for x in scale] for scale in both] for half in (0, 1))


def same_weights(theirs: AuthorsWay) -> tuple[Generator, Discriminator]:
    """Our two networks with the weights of the authors' networks."""
    ours = published.import_state(theirs.generator.state_dict())[0]
    discriminator = Discriminator()
    found = theirs.discriminator.state_dict()
    names = {f"discriminator_{n}.model{m}": f"scales.{n}.blocks.{m}" for n in (0, 1) for m in range(5)}
    renamed = {}
    for name, value in found.items():
        network, layer, *_, last = name.split(".")
        last = {"weight_orig": "parametrizations.weight.original"}.get(last, last)
        last = last.replace("weight_", "parametrizations.weight.0._")
        renamed[f"{names[f'{network}.{layer}']}.0.{last}"] = value
    discriminator.load_state_dict(renamed)
    return ours.train(), discriminator


def placed(networks: tuple[nn.Module, nn.Module], device: str) -> Any:
    return tuple(n.to(device, memory_format=torch.channels_last) for n in networks)  # type: ignore[call-overload]


def faces(size: int, batch: int, device: str) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    pair = {name: torch.rand(batch, 3, size, size, generator=draw).to(device) for name in ("degraded", "clean")}
    return {**pair, "key": ["drawn"] * batch}


def run_loop(parameters: dict[str, Any], networks: Any, batches: Iterator[dict[str, Any]]) -> None:
    """Run our loop until ``batches`` raises Enough."""
    p = Training.checked({**QUIET, **PAPER, **ADAM, **parameters}, "benchmark")
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        loop.train(p, lambda _: batches, {}, folder, networks)


def clock(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def race_steps(size: int, batch: int, width: int, precision: str, device: str, rounds: int) -> dict[str, Any]:
    """Seconds of a step; the authors' and our steps take turns, and the first turn of each does not count."""
    torch.manual_seed(0)
    theirs = AuthorsWay(width, device)
    networks = placed(same_weights(theirs), device)
    pair = faces(size, batch, device)
    times: Times = {AUTHORS: [], OURS: []}

    def turns() -> Iterator[dict[str, Any]]:
        for _ in range(rounds + 1):
            start = clock(device)
            theirs.step(pair["degraded"], pair["clean"])
            times[AUTHORS].append(clock(device) - start)
            start = clock(device)
            yield pair
            times[OURS].append(clock(device) - start)
        raise Enough

    run_loop({"precision": precision, "device": device}, networks, turns())
    counted = {name: seconds[1:] for name, seconds in times.items()}
    return {
        "size": size,
        "batch": batch,
        "precision": precision,
        "ms": {name: milliseconds(seconds) for name, seconds in counted.items()},
        "seconds": counted,
        "step_vs_authors": ratio(counted, AUTHORS),
    }


def count_memory(way: str, precision: str, checkpointing: bool, size: int, batch: int, width: int) -> float:
    """Peak memory of the second step in GB, with weights and optimizers."""
    with without_numbers() as ledger:
        pair = {name: torch.empty(batch, 3, size, size) for name in ("degraded", "clean")}
        if way == AUTHORS:
            theirs = AuthorsWay(width, "cpu")
            theirs.step(**pair)
            theirs.step(**pair)
        else:
            networks = Generator(dataclasses.replace(PUBLISHED["hifacegan"], width=width)), Discriminator()

            def twice() -> Iterator[dict[str, Any]]:
                yield {**pair, "key": []}
                yield {**pair, "key": []}
                raise Enough

            how = {"precision": precision, "device": "cpu", "activation_checkpointing": checkpointing}
            run_loop(how, networks, twice())
    return ledger.peak / 1e9


def main() -> None:
    parser = options(__doc__ or "", "python benchmarks/training.py --quick")
    parser.add_argument("--width", type=int, help="channels at full resolution (48; quick: 16)")
    parser.add_argument("--size", type=int, nargs="+", help="side of a face, pixels (256 512; quick: 64)")
    parser.add_argument("--batch", type=int, default=1, help="faces in a step")
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, help="measured turns (3; quick: 2)")
    choice = parser.parse_args()
    if choice.device == "cuda" and not torch.cuda.is_available():
        print("training.py: --device cuda: PyTorch sees no GPU here; nothing was measured", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(os.cpu_count() or 1)
    width = choice.width or (16 if choice.quick else 48)
    sizes = choice.size or ([64] if choice.quick else [256, 512])
    rounds = choice.rounds or (2 if choice.quick else 3)

    rows = [
        race_steps(size, choice.batch, width, precision, choice.device, rounds)
        for size in sizes
        for precision in choice.precision
    ]
    head = ("size", "batch", "ours in", "authors, ms", "ours, ms", "times faster")
    lines = [[f"{r['size']} px", r["batch"], r["precision"], *r["ms"].values(), r["step_vs_authors"]] for r in rows]
    print(table(head, lines) + "\n")

    memory = [
        {"way": way, "precision": precision, "checkpointing": again}
        for way, precision, again in itertools.product([OURS], ["float32", "bfloat16"], [False, True])
    ]
    memory.insert(0, {"way": AUTHORS, "precision": "float32", "checkpointing": False})
    gigabytes = [count_memory(size=max(sizes), batch=FACES, width=width, **m) for m in memory]
    head = (f"memory at {max(sizes)} px, batch {FACES}, counted", "in", "activation checkpointing", "GB")
    lines = [
        [m["way"], m["precision"], "yes" if m["checkpointing"] else "no", gb]
        for m, gb in zip(memory, gigabytes, strict=True)
    ]
    print(table(head, lines) + "\n")
    worst: dict[str, float | None] = {
        name: min((r["step_vs_authors"] for r in rows if r["precision"] == precision), default=None)
        for name, precision in (("step_vs_authors", "float32"), ("step_vs_authors_bfloat16", "bfloat16"))
    }
    finish(
        choice.out,
        worst | {"memory_gb": gigabytes[-1]},
        machine=machine("numpy", "torch"),
        device=torch.cuda.get_device_name() if choice.device == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        width=width,
        quick=choice.quick,
        table=rows,
        memory_gb=[{**m, "gb": gb} for m, gb in zip(memory, gigabytes, strict=True)],
    )


if __name__ == "__main__":
    main()
