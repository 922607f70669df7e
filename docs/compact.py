"""Train variants of the generator on real faces, with one change each and equal cost: the tables of docs/compact.md.

All variants get the same processor time on one thread, the same damaged faces in the same order, Adam at 0.002 with
rates that fall over the second half, L1 only, and averaged weights. A hundred faces of the training folder are set
aside for the choice of a variant; the validation folder is used for the table only.

    python docs/compact.py ~/faces --seconds 180 --out compact.jsonl
    python docs/compact.py ~/faces --size 128 --variants compact authors --out compact.jsonl

FACES contains train/ and valid/. Each finished variant is one line of the output file. To draw the figure of the page:

    python docs/compact.py --draw docs/compact.jsonl docs/compact.png
"""

import argparse
import copy
import dataclasses
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.metrics.full_reference import psnr, ssim
from hifacegan_lib.models.generator import PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.reports import plots
from hifacegan_lib.training.loop import update_average
from hifacegan_lib.utils import images

BASE = GeneratorConfig(width=32, stages=2, patch=2, hidden=32)
AUTHORS = PUBLISHED["hifacegan"]


def _base(**changes: object) -> GeneratorConfig:
    return dataclasses.replace(BASE, **changes)


VARIANTS: dict[str, GeneratorConfig] = {
    "base": BASE,
    "authors": AUTHORS,
    "authors-16": dataclasses.replace(AUTHORS, width=16),
    "spade-16": dataclasses.replace(PUBLISHED["spade"], width=16),
    "no skip": _base(skip=False),
    "layer norm": _base(norm="layer"),
    "lip": _base(suppression="lip"),
    "conv": _base(suppression="conv"),
    "image guides": _base(guidance="image"),
    "gamma": _base(modulation="gamma"),
    "spectral norm": _base(spectral_norm=True),
    "stages 1": _base(stages=1),
    "stages 3": _base(stages=3),
    "stages 3, widest 4": _base(stages=3, widest=4),
    "stages 4, widest 4": _base(stages=4, widest=4),
    "stages 4, widest 2": _base(stages=4, widest=2),
    "patch 1, width 16": _base(patch=1, width=16, hidden=16),
    "patch 4, width 64": _base(patch=4, width=64, hidden=64),
    "width 24": _base(width=24, hidden=24),
    "width 48": _base(width=48, hidden=48),
    "hidden 16": _base(hidden=16),
    "hidden 64": _base(hidden=64),
    "width 48, widest 4, stages 4": _base(width=48, hidden=48, stages=4, widest=4),
    "no skip, patch 1": _base(skip=False, patch=1, width=16, hidden=16),
}


def cost(config: GeneratorConfig, side: int = 512) -> dict[str, float]:
    """Parameters in millions, and GFLOP for an image of ``side`` pixels; a multiply-add counts as two operations."""
    with torch.device("meta"):
        generator = Generator(config).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            generator(torch.empty(1, 3, side, side))
    parameters = sum(p.numel() for p in generator.parameters()) / 1e6
    return {"parameters_m": round(parameters, 2), "gflop_512": round(counter.get_total_flops() / 1e9, 1)}


def pairs(files: list[Path], size: int, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """Damaged faces, draws x N x 3 x size x size, and clean ones, N x 3 x size x size; both uint8."""
    recipe = load_recipe("face_renov")
    clean = [images.resize(images.center_square(images.load_image(path)), size, size) for path in files]
    damaged = [
        [recipe.sample(seed + k * len(clean) + n, grid=size).apply(face) for n, face in enumerate(clean)]
        for k in range(draws)
    ]
    stacked = (torch.from_numpy(np.stack(faces)).movedim(-1, -3).contiguous() for faces in (damaged, clean))
    return tuple(stacked)  # type: ignore[return-value]


def train(
    config: GeneratorConfig, damaged: Tensor, clean: Tensor, seconds: float, batch: int, rate: float, seed: int
) -> tuple[Generator, int]:
    """The averaged generator after ``seconds`` of processor time, and the number of steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(config).to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(generator).requires_grad_(False)
    optimizer = torch.optim.Adam(generator.parameters(), rate, (0.9, 0.99))
    rng, steps, begun = np.random.default_rng(seed), 0, time.process_time()
    while (spent := (time.process_time() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - spent))
        face, draw = rng.integers(len(clean), size=batch), rng.integers(len(damaged), size=batch)
        x, y = (_float(faces) for faces in (damaged[draw, face], clean[face]))
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        generator.step_spectral_norm()
        loss = F.l1_loss(generator(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(average, generator, min(0.99, (1 + steps) / (10 + steps)))
        steps += 1
    return average.eval(), steps


@torch.no_grad()
def judge(generator: Generator, damaged: Tensor, clean: Tensor) -> dict[str, float]:
    """Mean gain over the damaged faces in PSNR (dB) and SSIM, and the half width of the 95% interval of PSNR."""
    gains, structures, begun = [], [], time.process_time()
    for bad, good in zip(damaged.split(10), clean.split(10), strict=True):
        x, y = _float(bad), _float(good)
        if generator.config.norm == "batch":  # as the authors test: each image is a batch of its own
            restored = torch.cat([generator.train()(one[None]) for one in x])
        else:
            restored = generator(x)
        gains.append(psnr(restored, y) - psnr(x, y))
        structures.append(ssim(restored, y) - ssim(x, y))
    gain, structure = torch.cat(gains), torch.cat(structures)
    half = 1.96 * gain.std().item() / math.sqrt(len(gain))
    return {
        "psnr": round(gain.mean().item(), 3),
        "half": round(half, 3),
        "ssim": round(structure.mean().item(), 4),
        "seconds": round((time.process_time() - begun) / len(clean), 4),
    }


def draw(lines: Path, picture: Path) -> None:
    """Draw the gain and interval of each variant at 64 pixels and the common budget, the best first."""
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if (row["size"], row["seconds"], row["rate"]) == (64, 150.0, 0.002)]
    rows.sort(key=lambda row: row["valid"]["psnr"])
    figure, axes = plots.canvas(1, 1, figsize=(8.5, 0.28 * len(rows) + 0.9), layout="constrained")
    axis, gains = axes[0, 0], [row["valid"]["psnr"] for row in rows]
    colours = ["C3" if row["variant"].startswith(("authors", "spade")) else "C0" for row in rows]
    names = [f"{row['variant']}, {row['steps']} steps" for row in rows]
    axis.barh(names, gains, color=colours, alpha=0.8, xerr=[row["valid"]["half"] for row in rows], ecolor="0.35")
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set_xlabel("PSNR above the damaged input after 150 s, dB (95% interval over 100 faces)")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    plots.save(figure, picture)


def _float(faces: Tensor) -> Tensor:
    return (faces.float() / 255).contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", nargs=2, type=Path, metavar=("LINES", "PICTURE"), help="draw finished variants only")
    parser.add_argument("faces", type=Path, nargs="?", help="folder with train/ and valid/")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--size", type=int, default=64, help="side of the faces, pixels (64)")
    parser.add_argument("--seconds", type=float, default=180, help="processor time of each variant (180)")
    parser.add_argument("--batch", type=int, default=16, help="faces per step (16)")
    parser.add_argument("--rate", type=float, default=0.002, help="learning rate of Adam (0.002)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and order (0)")
    parser.add_argument("--draws", type=int, default=4, help="damaged copies of each training face (4)")
    parser.add_argument("--out", type=Path, help="output file, one line of JSON per variant")
    options = parser.parse_args()
    if options.draw:
        draw(*options.draw)
        return
    if options.faces is None or options.out is None:
        parser.error("FACES and --out are needed to train")
    torch.set_num_threads(1)
    files = sorted((options.faces / "train").iterdir())
    aside = files[:: len(files) // 100][:100]
    kept = [path for path in files if path not in set(aside)]
    damaged, clean = pairs(kept, options.size, options.draws, 0)
    held = {
        "chosen_by": pairs(aside, options.size, 1, 10**6),
        "valid": pairs(sorted((options.faces / "valid").iterdir()), options.size, 1, 2 * 10**6),
    }
    for name in options.variants:
        config = VARIANTS[name]
        generator, steps = train(config, damaged, clean, options.seconds, options.batch, options.rate, options.seed)
        row = {
            "variant": name,
            **{key: getattr(options, key) for key in ("size", "seconds", "batch", "rate", "seed")},
            "steps": steps,
            **cost(config),
            **{key: judge(generator, bad[0], good) for key, (bad, good) in held.items()},
        }
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
