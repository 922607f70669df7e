"""What is wrong with a checkpoint, by measurement, and a file that is safe to use.

    spectral norm     sigma = u^T W v of the stored vectors, against the largest singular value of W
    batch norm        running mean and deviation of each layer, against those of real images
    train and eval    PSNR between the pictures; then with only one half of ``train()`` switched: who is to blame

The published networks are looked at as their authors test them: in ``train()``, one picture at a time.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import read_any, variant
from hifacegan_lib.models.replenishment import Norm
from hifacegan_lib.models.train_eval import FEW, batch_norm_drift, draw, eval_safe, spectral_sigmas
from hifacegan_lib.utils import images
from hifacegan_lib.utils.inputs import images_in

TELLING = 40.0  # dB; pictures nearer than this look the same


def command(
    checkpoint: str | Path,
    folder: str | Path | None = None,
    out: str | Path | None = None,
    size: int | None = None,
    count: int = FEW,
    norm: Norm | None = None,
) -> str:
    """Examine a checkpoint and, with ``out``, write its eval-safe file; the report to print.

    Args:
        checkpoint: of ours, or of the published code.
        folder: images of the kind that it restores, which also freeze the batch norms of ``out``; None: drawn faces,
            and in ``out`` each picture is normalised by its own statistics.
        size: side of the squares that it is shown; None: the checkpoint's own, else 256.
        norm: see :func:`hifacegan_lib.models.published.read_foreign`.
    Raises:
        ValueError: what :func:`hifacegan_lib.models.published.read_foreign` refuses.
    """
    generator, info = read_any(checkpoint, norm)
    batch = sample_images(folder, size or info.get("image_size") or 256, count)
    lines = [f"checkpoint    {checkpoint}", f"read as       {info['source']}", describe(examine(generator, batch))]
    if out is not None:
        safe = eval_safe(generator, batch if folder else None)
        near = psnr(draw(safe, batch, False, False), draw(generator, batch, generator.config.published, True))
        frozen = {"frozen": "frozen from the images", "instance": "each picture's own"}.get(
            safe.config.norm, "as before"
        )
        checkpoints.save_generator(
            out, safe, {"image_size": batch.shape[-1], **info, "made_eval_safe_from": Path(checkpoint).name}
        )
        lines.append(f"written       {out}: statistics {frozen}; {near:.1f} dB from the pictures above")
    return "\n".join(lines)


def sample_images(folder: str | Path | None, size: int, count: int) -> Tensor:
    """``count`` images of a folder, centred squares of ``size`` pixels, N x 3 x size x size in [0, 1].

    Without a folder: drawn portraits, damaged by the recipe ``face_renov``.

    Raises:
        ValueError: no image file below the folder, or one that cannot be read.
    """
    if folder is None:
        recipe = load_recipe("face_renov")
        faces = [recipe.sample(n, grid=size).apply(portrait(n, size)) for n in range(count)]
    else:
        files = images_in(Path(folder))[0][:count]
        faces = [images.resize(images.center_square(images.load_image(p)), size, size) for p in files]
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 255


def examine(generator: Generator, batch: Tensor) -> dict[str, Any]:
    """Everything measured, as JSON values. The generator comes back as it was.

    Args:
        generator: ours or a published one.
        batch: images of the kind that it restores, N x 3 x H x W in [0, 1].
    """
    train, judged = (draw(generator, batch, on, on) for on in (True, False))
    switched = {
        "statistics": draw(generator, batch, statistics=True, step=False),
        "spectral": draw(generator, batch, statistics=False, step=True),
    }
    sigmas, drifts = spectral_sigmas(generator), batch_norm_drift(generator, batch)
    return {
        "variant": variant(generator.config),
        "width": generator.config.width,
        "parameters": sum(p.numel() for p in generator.parameters()),
        "config": dataclasses.asdict(generator.config),
        "images": list(batch.shape),
        "sigmas": [{**dataclasses.asdict(s), "deviation": s.deviation} for s in sigmas],
        "drifts": [dataclasses.asdict(d) for d in drifts],
        "output": {name: _range(picture) for name, picture in (("train", train), ("eval", judged))},
        "train_eval": {"psnr": psnr(train, judged), "max": (train - judged).abs().max().item()},
        "eval_with": {name: psnr(train, picture) for name, picture in switched.items()},
        "neighbours": (draw(generator, batch, True, True, together=True) - train).abs().max().item(),
    }


def _range(picture: Tensor) -> dict[str, float]:
    return {
        "low": picture.min().item(),
        "mean": picture.mean().item(),
        "high": picture.max().item(),
        "clipped": ((picture <= 0) | (picture >= 1)).float().mean().item(),
    }


def culprit(report: dict[str, Any]) -> str:
    """The sentence that names what sets ``train()`` and ``eval()`` apart."""
    apart, alone = report["train_eval"]["psnr"], report["eval_with"]
    if apart >= TELLING:
        return f"train() and eval() draw the same picture ({apart:.1f} dB between them)"
    cause = {"statistics": "running statistics of batch norms", "spectral": "stored vectors of spectral norms"}
    cures = [name for name, value in alone.items() if value >= TELLING]
    if len(cures) == 1:
        return f"eval() differs by its {cause[cures[0]]} alone: switched to train()'s, {alone[cures[0]]:.1f} dB"
    best = max(alone, key=lambda name: alone[name])
    return f"eval() differs by both, most by its {cause[best]}: switched to train()'s alone, {alone[best]:.1f} dB"


def describe(report: dict[str, Any]) -> str:
    """A report for people: one line a finding."""
    lines = [
        f"variant       {report['variant']}, width {report['width']}, {report['parameters'] / 1e6:.2f} M parameters",
        "config        " + ", ".join(f"{name} {value}" for name, value in report["config"].items()),
    ]
    if sigmas := report["sigmas"]:
        worst = max(sigmas, key=lambda s: s["deviation"])
        lines.append(f"spectral norm {len(sigmas)} layers; u^T W v is off the SVD by up to {worst['deviation']:.2%}:")
        lines.append(f"              {worst['name']}: {worst['stored']:.4g}, SVD {worst['true']:.4g}")
    else:
        lines.append("spectral norm none")
    if drifts := report["drifts"]:
        worst = max(drifts, key=lambda d: max(d["mean"], d["spread"]))
        lines.append("batch norm    running against these images' statistics, rms over channels:")
        for d in drifts:
            says = f"mean {d['mean']:.2f} deviations, spread x {np.exp(d['spread']):.2f}"
            lines.append(f"              {d['name']:32} {says}{'   <- worst' if d is worst else ''}")
    else:
        lines.append(f"batch norm    none that moves (norm {report['config']['norm']})")
    for mode, r in report["output"].items():
        lines.append(
            f"{'output' if mode == 'train' else '':14}{mode + '()':8} {r['low']:.3f} to {r['high']:.3f}, mean "
            f"{r['mean']:.3f}, {r['clipped']:.1%} at the ends"
        )
    t = report["train_eval"]
    lines.append(f"train, eval   {t['psnr']:.1f} dB between them, at most {t['max']:.4f} apart")
    lines.append(f"              {culprit(report)}")
    lines.append(f"neighbours    in train() they change a picture by up to {report['neighbours']:.4f}")
    return "\n".join(lines)


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR between two batches in [0, 1], dB; 100 where they are equal to float32's precision."""
    return min(100.0, -10 * (a - b).double().square().mean().clamp_min(1e-20).log10().item())
