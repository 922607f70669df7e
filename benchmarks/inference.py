"""Claim: a baked generator draws at least 1.3 times as fast as the authors' way in float32, 2.8 times in bfloat16.

One published network with the same weights on all sides, drawn by turns: the authors' way (`_authors.py`, written anew
from its description: layers as published, NCHW, float32, spectral norm computed in each forward, `train()` as they
test), our `Generator` as it is, and `bake` of it in both precisions. Ours take each picture's own statistics, which is
what `train()` computes of one picture, so all draw the same; `--statistics frozen` bakes averages of drawn faces in.
How like the authors' the pictures are is in the table, in 255ths. Weights are random: a trained network's bfloat16 is
held by a test.

On a GPU `--device cuda` takes batches of eight and adds the floor: the arithmetic of a picture at the rate of a large
bfloat16 matrix product measured beside it. Without a GPU it ends with exit code 2 and says so.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _authors import AuthorsGenerator
from _bench import OURS, Times, finish, machine, options, race, ratio, table
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.models import published, train_eval
from hifacegan_lib.models.baking import bake, has_bfloat16
from hifacegan_lib.utils import images

AUTHORS, PLAIN, FLOAT32, BFLOAT16 = "authors", "ours, not baked", "baked, float32", "baked, bfloat16"
SHORT = {"float32": FLOAT32, "bf16": BFLOAT16}
SETTLING = 20  # power iterations before the race: a published network's vectors have settled
PATIENCE = 600.0  # seconds: everybody races


def faces(count: int, size: int, device: str) -> Tensor:
    return torch.stack([images.to_float(portrait(seed, size)) for seed in range(count)]).to(device)


def contestants(choice: Any) -> tuple[dict[str, Callable[[], Tensor]], Tensor]:
    """Way -> one batch drawn, all with the same weights; and the batch."""
    torch.manual_seed(0)
    authors = AuthorsGenerator(choice.variant, choice.width).train()
    with torch.no_grad():
        small = faces(2, 64, "cpu")
        for _ in range(SETTLING):
            authors(small)
    authors = authors.to(choice.device)
    batch = faces(choice.batch, choice.size, choice.device)
    ours, _ = published.import_state({name: value.cpu() for name, value in authors.state_dict().items()})
    still = train_eval.eval_safe(ours, faces(8, 128, "cpu") if choice.statistics == "frozen" else None).to(
        choice.device
    )
    compiled = choice.device == "cuda" and not choice.eager
    baked = {FLOAT32: bake(still, "float32", compiled)}
    if has_bfloat16(choice.device):
        baked[BFLOAT16] = bake(still, "bfloat16", compiled)
    ways: dict[str, Any] = {AUTHORS: authors, PLAIN: still, **baked}

    def drawn(way: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with torch.no_grad():
                picture = ways[way](batch)
            if choice.device == "cuda":
                torch.cuda.synchronize()
            return picture

        return call

    return {way: drawn(way) for way in ways}, batch


def against(times: Times, way: str, peer: str) -> float | None:
    """How many times faster ``way`` is than ``peer``."""
    return ratio({OURS: times[way], peer: times[peer]}, peer) if way in times else None


def teraflop(variant: str, width: int, size: int) -> float:
    """Multiplications and additions of one picture's convolutions as published, in units of 10^12."""
    total = 0

    def count(layer: torch.nn.Conv2d, _: Any, out: Tensor) -> None:
        nonlocal total
        total += 2 * layer.weight.numel() * out.shape[2] * out.shape[3]

    with torch.device("meta"):
        network = AuthorsGenerator(variant, width).eval()
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(count)  # type: ignore[arg-type]
        network(torch.empty(1, 3, size, size))
    return total / 1e12


def peak_rate(device: str) -> float:
    """TFLOP a second of a large bfloat16 matrix product (a float32 one where the device has no bfloat16)."""
    side, dtype = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.bfloat16)
    a = torch.randn(side, side, device=device).to(dtype if has_bfloat16(device) else torch.float32)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e12


def main() -> None:
    parser = options(__doc__ or "", "python benchmarks/inference.py --quick")
    parser.add_argument("--variant", choices=["hifacegan", "lipspade", "spade"], default="hifacegan")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures, pixels (512)")
    parser.add_argument("--width", type=int, default=48, help="of the network (48)")
    parser.add_argument("--batch", type=int, help="pictures at once (1; 8 on a GPU)")
    parser.add_argument("--statistics", choices=["own", "frozen"], default="own", help="that batch norms bake in (own)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--eager", action="store_true", help="no torch.compile on a GPU")
    choice = parser.parse_args()
    if choice.device == "cuda" and not torch.cuda.is_available():
        print("inference.py: --device cuda: PyTorch sees no GPU here; nothing was measured", file=sys.stderr)
        sys.exit(2)
    choice.batch = choice.batch or (8 if choice.device == "cuda" else 1)
    torch.set_num_threads(os.cpu_count() or 1)
    calls, _ = contestants(choice)
    pictures = {way: call().float().cpu() for way, call in calls.items()}  # authors' first: their vectors move
    times = race({way: [call] for way, call in calls.items()}, 1 if choice.quick else 3, PATIENCE)
    rows = [compared(way, times, pictures, choice.batch) for way in times]
    print(f"{choice.variant}, width {choice.width}, {choice.size} px, {choice.batch} at once, {choice.device}\n")
    head = (
        "way",
        "s a picture",
        "x faster than the authors'",
        "greatest difference, /255",
        "99% of pixels below, /255",
    )
    print(table(head, [list(row.values()) for row in rows]))
    work, rate = teraflop(choice.variant, choice.width, choice.size), peak_rate(choice.device)
    fastest = min(row["seconds"] for row in rows)
    print(
        f"\narithmetic {work:.3f} TFLOP a picture; matrix product {rate:.3g} TFLOP/s: floor {work / rate:.4g} s, ",
        end="",
    )
    print(f"the fastest takes {fastest * rate / work:.2f} times that\n")
    ratios = {
        "float32_vs_authors": against(times, FLOAT32, AUTHORS),
        "bf16_vs_authors": against(times, BFLOAT16, AUTHORS),
    }
    if choice.device == "cuda":
        ratios["bf16_vs_floor"] = fastest * rate / work
    conditions = {name: getattr(choice, name) for name in ("variant", "size", "width", "batch", "statistics", "device")}
    gpu = torch.cuda.get_device_name() if choice.device == "cuda" else None
    finish(
        choice.out,
        ratios,
        machine={**machine("numpy", "torch"), "gpu": gpu},
        threads=torch.get_num_threads(),
        quick=choice.quick,
        conditions=conditions,
        teraflop=work,
        matrix_product_tflops=rate,
        table=rows,
    )


def compared(way: str, times: Times, pictures: dict[str, Tensor], batch: int) -> dict[str, Any]:
    off = (pictures[way] - pictures[AUTHORS]).abs().flatten() * 255
    return {
        "way": way,
        "seconds": statistics.median(times[way]) / batch,
        "vs_authors": against(times, way, AUTHORS),
        "greatest_255ths": off.max().item(),
        "most_255ths": off.kthvalue(max(1, int(0.99 * off.numel()))).values.item(),
    }


if __name__ == "__main__":
    main()
