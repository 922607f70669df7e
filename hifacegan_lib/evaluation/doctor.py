"""Measure the faults of a checkpoint, and write a file that is safe to use.

    spectral norm     sigma = u^T W v of the stored vectors, against the largest singular value of W
    batch norm        running mean and deviation of each layer, against those of real images
    train and eval    PSNR between the pictures; then with one half of ``train()`` alone, which shows the cause

Published networks are measured as their authors test them: in ``train()``, one picture at a time.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.models import checkpoints, networks
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.published import read_any, variant
from hifacegan_lib.models.replenishment import Norm
from hifacegan_lib.models.train_eval import CHUNK, batch_norm_drift, draw, eval_safe, spectral_sigmas
from hifacegan_lib.utils import images, measures
from hifacegan_lib.utils.inputs import images_in

TELLING = 40.0  # dB; pictures nearer than this look the same


def command(
    checkpoint: str | Path,
    folder: str | Path | None = None,
    out: str | Path | None = None,
    size: int | None = None,
    count: int = CHUNK,
    norm: Norm | None = None,
) -> str:
    """Examine a checkpoint and, with ``out``, write its eval-safe file; the report to print.

    Args:
        checkpoint: of ours, or of the published code.
        folder: images of the kind that it restores, which also freeze the batch norms of ``out``; None: drawn faces,
            and in ``out`` each picture is normalised by its own statistics.
        size: side of the squares that it is shown; None: the checkpoint's own, else 256.
        norm: see :func:`hifacegan_lib.models.published.read_any`.
    Raises:
        ValueError: what :func:`hifacegan_lib.models.published.read_any` refuses.
    """
    generator, info = read_any(checkpoint, norm)
    if not isinstance(generator, Generator):
        raise ValueError(f"{checkpoint}: {networks.title(generator)}; the doctor examines HiFaceGAN alone")
    batch = sample_images(folder, size or info.get("image_size") or 256, count)
    lines = [f"checkpoint    {checkpoint}", f"read as       {info['source']}", describe(examine(generator, batch))]
    if out is not None:
        safe = eval_safe(generator, batch if folder else None)
        near = psnr(draw(safe, batch, False, False), draw(generator, batch, generator.config.published, True))
        known = {"image_size": batch.shape[-1], **info, "made_eval_safe_from": Path(checkpoint).name}
        checkpoints.save_generator(out, safe, known)
        words = {"frozen": "frozen from the images", "instance": "each picture's own"}
        said = f"statistics {words.get(safe.config.norm, 'as before')}; {near:.1f} dB from the pictures above"
        lines.append(f"written       {out}: {said}")
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
    return torch.stack([images.to_float(face) for face in faces])


class Report(NamedTuple):
    """What :func:`examine` measured; the generator is unchanged.

    Attributes:
        sigmas, drifts: a row for each spectrally normalised layer, for each batch norm.
        pictures: "train" and "eval" -> what the generator draws, N x 3 x H x W.
        alone: half of ``train()`` -> PSNR, dB, between ``train()`` and ``eval()`` with that half switched on alone.
        neighbours: by how much a picture changes in ``train()`` when others are drawn with it.
    """

    generator: Generator
    sigmas: pd.DataFrame
    drifts: pd.DataFrame
    pictures: dict[str, Tensor]
    alone: dict[str, float]
    neighbours: float

    @property
    def apart(self) -> float:
        """PSNR between the pictures of ``train()`` and ``eval()``, dB."""
        return psnr(self.pictures["train"], self.pictures["eval"])


def examine(generator: Generator, batch: Tensor) -> Report:
    """Measure a network, ours or a published one.

    Args:
        batch: images of the kind that it restores, N x 3 x H x W in [0, 1].
    """
    pictures = {mode: draw(generator, batch, on, on) for mode, on in (("train", True), ("eval", False))}
    train = pictures["train"]
    return Report(
        generator,
        spectral_sigmas(generator),
        batch_norm_drift(generator, batch),
        pictures,
        {
            "running statistics of batch norms": psnr(train, draw(generator, batch, statistics=True, step=False)),
            "stored vectors of spectral norms": psnr(train, draw(generator, batch, statistics=False, step=True)),
        },
        (draw(generator, batch, True, True, together=True) - train).abs().max().item(),
    )


def culprit(report: Report) -> str:
    """A sentence: why ``train()`` and ``eval()`` draw different pictures."""
    if report.apart >= TELLING:
        return f"train() and eval() draw the same picture ({report.apart:.1f} dB between them)"
    cures = [cause for cause, value in report.alone.items() if value >= TELLING]
    if len(cures) == 1:
        return f"eval() differs by its {cures[0]} alone: switched to train()'s, {report.alone[cures[0]]:.1f} dB"
    best = max(report.alone, key=lambda cause: report.alone[cause])
    return f"eval() differs by both, most by its {best}: switched to train()'s alone, {report.alone[best]:.1f} dB"


def describe(report: Report) -> str:
    """A report for people: one line a finding."""
    config, parameters = report.generator.config, sum(p.numel() for p in report.generator.parameters())
    values = ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(config).items())
    lines = [f"variant       {variant(config)}, width {config.width}, {parameters / 1e6:.2f} M parameters"]
    lines.append(f"config        {values}")
    if len(sigmas := report.sigmas):
        worst = sigmas.sort_values("deviation").iloc[-1]
        lines.append(f"spectral norm {len(sigmas)} layers; u^T W v is off the SVD by up to {worst['deviation']:.2%}:")
        lines.append(f"              {worst.name}: {worst['stored']:.4g}, SVD {worst['true']:.4g}")
    else:
        lines.append("spectral norm none")
    if len(drifts := report.drifts):
        lines.append("batch norm    running against these images' statistics, rms over channels:")
        for name, mean, spread, size in drifts.itertuples():
            mark = "   <- worst" if size == drifts["size"].max() else ""
            lines.append(f"              {name:32} mean {mean:.2f} deviations, spread x {np.exp(spread):.2f}{mark}")
    else:
        lines.append(f"batch norm    none that moves (norm {config.norm})")
    for mode, x in report.pictures.items():
        ends = ((x <= 0) | (x >= 1)).float().mean().item()
        lines.append(
            f"{'output' if mode == 'train' else '':14}{mode + '()':8} {x.min():.3f} to {x.max():.3f}, mean "
            f"{x.mean():.3f}, {ends:.1%} at the ends"
        )
    most_apart = (report.pictures["train"] - report.pictures["eval"]).abs().max()
    lines.append(f"train, eval   {report.apart:.1f} dB between them, at most {most_apart:.4f} apart")
    lines.append(f"              {culprit(report)}")
    lines.append(f"neighbours    in train() they change a picture by up to {report.neighbours:.4f}")
    return "\n".join(lines)


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR between two batches in [0, 1], dB; at most 100, which is float32's precision."""
    return min(100.0, measures.psnr(a.numpy(), b.numpy(), 1.0))
