"""Claim: on a CPU ONNX Runtime draws the same picture at least as fast as PyTorch, float32 on both sides.

The same weights on all sides, drawn by turns: the authors' way (`_authors.py`, written anew from its description:
layers as published, NCHW, float32, spectral norm computed in each forward, `train()` as they test; published networks
alone), our `Generator` as PyTorch draws it, the same in bfloat16 where the device multiplies it, and on a CPU ONNX
Runtime with the exported graph. Ours take each picture's own statistics, which is what `train()` computes of one
picture, so all draw the same; `--statistics frozen` uses averages of drawn faces. How like the first one's the pictures
are is in the table, in 255ths. Published weights are random: a trained network's bfloat16 is held by a test.

`--variant shipped` takes compact-256 and one picture of 256 pixels. On a GPU `--device cuda` takes batches of eight
and adds the floor: the arithmetic of a picture at the rate of a large bfloat16 matrix product measured beside it.
Without a GPU it ends with exit code 2 and says so. `--clock processor` counts the processor's time with one thread, for
a machine that others use too.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _authors import AuthorsGenerator
from _bench import OURS, Times, finish, machine, options, race, ratio, table
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.models import checkpoints, exporting, published, train_eval
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.onnx_network import OnnxNetwork
from hifacegan_lib.models.torch_network import TorchNetwork, has_bfloat16
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.utils import images

AUTHORS, FLOAT32, BFLOAT16, ONNX = "authors", "PyTorch, float32", "PyTorch, bfloat16", "ONNX Runtime, float32"
SETTLING = 20  # power iterations before the race: a published network's vectors have settled
PATIENCE = 600.0  # seconds: everybody races


def faces(count: int, size: int, device: str) -> Tensor:
    return torch.stack([images.to_float(portrait(seed, size)) for seed in range(count)]).to(device)


def networks(choice: Any) -> tuple[dict[str, Any], Generator]:
    """The authors' network, if there is one, and ours with its weights."""
    if choice.variant == "shipped":
        file = pretrained.FOLDER / f"{pretrained.DEFAULT}-{pretrained.FLAVOURS[0]}.safetensors"
        return {}, checkpoints.load_generator(file, choice.device)[0]
    torch.manual_seed(0)
    authors = AuthorsGenerator(choice.variant, choice.width).train()
    with torch.no_grad():
        small = faces(2, 64, "cpu")
        for _ in range(SETTLING):
            authors(small)
    ours, _ = published.import_state({name: value.clone() for name, value in authors.state_dict().items()})
    still = train_eval.eval_safe(ours, faces(8, 128, "cpu") if choice.statistics == "frozen" else None)
    return {AUTHORS: authors.to(choice.device)}, still.to(choice.device)


def contestants(choice: Any) -> dict[str, Callable[[], Tensor]]:
    """Way -> one batch drawn, all with the same weights."""
    ways, ours = networks(choice)
    batch = faces(choice.batch, choice.size, choice.device)
    ways[FLOAT32] = TorchNetwork(ours, "float32")
    if has_bfloat16(choice.device):
        ways[BFLOAT16] = TorchNetwork(ours, "bfloat16")
    if choice.device == "cuda" and not choice.eager:
        for way in ways.keys() - {AUTHORS}:
            ways[way].network.compile()
    if choice.variant == "shipped" and choice.device == "cpu":
        ways[ONNX] = pretrained.load_model().network
    elif choice.device == "cpu":
        with tempfile.TemporaryDirectory() as folder:
            ways[ONNX] = OnnxNetwork(exporting.export(ours, Path(folder) / "face.onnx", 256))

    def drawn(way: str) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with torch.no_grad():
                picture = ways[way](batch)
            if choice.device == "cuda":
                torch.cuda.synchronize()
            return picture

        return call

    return {way: drawn(way) for way in ways}


def against(times: Times, way: str, peer: str) -> float | None:
    """How many times faster ``way`` is than ``peer``; None where one of them did not race."""
    return ratio({OURS: times[way], peer: times[peer]}, peer) if {way, peer} <= set(times) else None


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
    parser.add_argument("--variant", choices=["hifacegan", "lipspade", "spade", "shipped"], default="hifacegan")
    parser.add_argument("--size", type=int, help="side of the pictures, pixels (512; shipped: 256)")
    parser.add_argument("--width", type=int, default=48, help="of a published network (48)")
    parser.add_argument("--batch", type=int, help="pictures at once (1; 8 on a GPU)")
    parser.add_argument("--statistics", choices=["own", "frozen"], default="own", help="of batch norms (own)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="(wall)")
    parser.add_argument("--eager", action="store_true", help="no torch.compile on a GPU")
    choice = parser.parse_args()
    if choice.device == "cuda" and not torch.cuda.is_available():
        print("inference.py: --device cuda: PyTorch sees no GPU here; nothing was measured", file=sys.stderr)
        sys.exit(2)
    choice.batch = choice.batch or (8 if choice.device == "cuda" else 1)
    choice.size = choice.size or (256 if choice.variant == "shipped" else 512)
    alone = choice.clock == "processor"
    if alone:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # ONNX Runtime takes as many threads as it sees cores
    torch.set_num_threads(1 if alone else os.cpu_count() or 1)
    calls = contestants(choice)
    pictures = {way: call().float().cpu() for way, call in calls.items()}  # authors' first: their vectors move
    clock = time.process_time if alone else time.perf_counter
    times = race({way: [call] for way, call in calls.items()}, 1 if choice.quick else 5, PATIENCE, clock)
    rows = [compared(way, times, pictures, choice.batch) for way in times]
    print(f"{choice.variant}, {choice.size} px, {choice.batch} at once, {choice.device}, {choice.clock} time\n")
    head = ("way", "s a picture", "x faster than the first", "greatest difference, /255", "99% of pixels below, /255")
    print(table(head, [list(row.values()) for row in rows]))
    ratios = {
        "onnx_vs_torch": against(times, ONNX, FLOAT32),
        "bf16_vs_torch": against(times, BFLOAT16, FLOAT32),
        "onnx_vs_authors": against(times, ONNX, AUTHORS),
    }
    work, rate = None, peak_rate(choice.device)
    if choice.variant != "shipped":
        work = teraflop(choice.variant, choice.width, choice.size)
        slowness = min(row["seconds"] for row in rows) * rate / work
        print(f"\narithmetic {work:.3f} TFLOP a picture; matrix product {rate:.3g} TFLOP/s: floor {work / rate:.4g} s,")
        print(f"the fastest takes {slowness:.2f} times that\n")
        if choice.device == "cuda":
            ratios["bf16_vs_floor"] = slowness
    fixed = ("variant", "size", "width", "batch", "statistics", "device", "clock")
    gpu = torch.cuda.get_device_name() if choice.device == "cuda" else None
    finish(
        choice.out,
        ratios,
        machine={**machine("numpy", "torch", "onnxruntime"), "gpu": gpu},
        threads=torch.get_num_threads(),
        quick=choice.quick,
        conditions={name: getattr(choice, name) for name in fixed},
        teraflop=work,
        matrix_product_tflops=rate,
        table=rows,
    )


def compared(way: str, times: Times, pictures: dict[str, Tensor], batch: int) -> dict[str, Any]:
    first = next(iter(pictures))
    off = (pictures[way] - pictures[first]).abs().flatten() * 255
    return {
        "way": way,
        "seconds": statistics.median(times[way]) / batch,
        "vs_first": against(times, way, first),
        "greatest_255ths": off.max().item(),
        "most_255ths": off.kthvalue(max(1, int(0.99 * off.numel()))).values.item(),
    }


if __name__ == "__main__":
    main()
