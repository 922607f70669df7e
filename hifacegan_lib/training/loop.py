"""The training loop: one step of both networks, then the work that is done every N steps.

    G minimises   sum over losses of weight * loss(restored, clean, degraded) + adversarial + 10 feature matching
    D minimises   its side of the adversarial loss, and R1, on the same faces, at its own, faster rate (two time scales)

A step is one pass of each network. The generator's graph is cut at the restored image: the losses give the gradient of
this image, and only that gradient is propagated back through the generator. Both networks' gradients belong to the
weights before the step. Processes may share a batch and process it in parts: every loss is a mean over pairs, so
gradients are added in equal shares, and the step is that of the whole batch.

The caller supplies the pairs, :class:`hifacegan_lib.params.Training` all settings. The states of PyTorch's random
generators, which a network and ``augment`` may use, are kept in the checkpoint. On the CPU a run that was killed and
resumed ends with bit-identical weights.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.networks import batch_statistics, check_range
from hifacegan_lib.models.torch_network import has_bfloat16
from hifacegan_lib.params import Training
from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.reports.run_log import Journal
from hifacegan_lib.training import augmentation, distributed, health, stop_signals
from hifacegan_lib.training.losses import (
    Answers,
    Weighted,
    discriminator_loss,
    feature_matching,
    generator_loss,
    r1_penalty,
)
from hifacegan_lib.training.state import Networks, Run, build, restore, save
from hifacegan_lib.utils import images

Batch = Mapping[str, Any]
Judge = Callable[[Tensor], Answers]
AnswerPair = tuple[Answers, Answers]
"""The discriminator's outputs for the restored faces and for the clean faces."""


def train(
    p: Training,
    batches: Callable[[int], Iterator[Batch]],
    strip: Batch,
    folder: str | Path,
    networks: Networks | None = None,
    fabric: Any = None,
    identity: Mapping[str, Any] | None = None,
    show: Progress | None = None,
    losses: Mapping[str, Weighted] | None = None,
) -> Path:
    """Train from the last checkpoint in ``folder``, or from the start, to ``p.steps``.

    Ctrl-C saves a checkpoint and returns; a second Ctrl-C stops at once. SIGTERM saves and then ends the process.

    Args:
        p: the run's parameters.
        batches: step -> iterator over the batches from that step on; each has ``clean`` and ``degraded``, N x 3 x H x W
            in [0, 1], and ``key``, N names. With several processes, the share of this process.
        strip: a fixed batch of validation faces, for images and measures in the log.
        folder: output folder for metrics.jsonl, warnings.jsonl, tensorboard/, figures/ and checkpoints/.
        networks: trained instead of the networks that :func:`build` makes from ``p``; any classes, on the run's device.
        fabric: see :func:`hifacegan_lib.training.distributed.launch`; started here by default.
        identity: the inputs that determine the weights (parameters, recipe, data), as JSON values; kept in checkpoints.
        show: display of the run.
        losses: name -> (weight, function of restored, clean, degraded), added to the losses of ``p``; see
            :func:`hifacegan_lib.training.losses.image_losses`. Names and weights are kept in the checkpoint.
    Returns:
        The folder of the last checkpoint; its step is below ``p.steps`` if the run was stopped.
    Raises:
        FloatingPointError: a loss or a gradient is NaN or infinite; the last checkpoint is unchanged.
        FileNotFoundError: ``perceptual_weight`` is above 0 and the weights of VGG-19 are missing.
        OSError: a checkpoint cannot be written; the last complete one is unchanged.
        ValueError: the checkpoint belongs to another run (the differences are listed), a loss has a name in use, or the
            averaged weights draw values outside [0, 1], which every line of the log checks.
    """
    folder, fabric, losses = Path(folder), fabric or distributed.launch(p.device, p.precision), losses or {}
    run = Run(p, fabric, networks or build(p, fabric.device), losses)
    identity = dict(identity or {})
    if losses:
        identity["losses"] = {name: weight for name, (weight, _) in losses.items()}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []))
        torch.manual_seed(p.seed + fabric.global_rank)
        start, spent = restore(run, folder / "checkpoints", identity) if p.resume else (0, 0.0)
        begun, done = time.monotonic() - spent, start
        log = Journal(folder, start, show) if fabric.is_global_zero else None
        if log:
            stack.callback(log.close)
            if p.precision == "bfloat16" and run.device.type == "cpu" and not has_bfloat16():
                log.say("this processor seems to lack bfloat16 instructions; precision float32 may be much faster")
            if start == 0 and (warning := batch_statistics(run.trained)):
                log.warn(0, warning)
        signals = stack.enter_context(stop_signals.record_signals())
        stream, finite = batches(start), health.FiniteCheck(folder / "checkpoints")
        for step in range(start, p.steps):
            batch = next(stream)
            means, norms = train_step(run, step, batch)
            done = step + 1
            finite.note(done, batch["key"], means | ({} if run.scaler.is_enabled() else norms))
            if log:
                log.step(done)
            stopped = distributed.any_of(fabric, bool(signals))
            checkpoint_due = done == p.steps or done % p.checkpoint_every == 0
            picture_due = done == p.steps or done % p.picture_every == 0
            line_due = checkpoint_due or picture_due or done % p.log_every == 0
            if line_due or stopped:
                finite.check(run.scaler)
            if line_due:
                write_log_line(run, log, done, means, strip, begun, picture_due)
            if checkpoint_due or stopped:
                save(run, folder / "checkpoints", done, time.monotonic() - begun, identity)
            if stopped:
                break
        finite.check()
        if log and done < p.steps:
            name = signals[-1].name if signals else "another process"
            log.say(f"stopped by {name} at step {done} of {p.steps}, all saved; the same run continues from there")
    if signal.SIGTERM in signals:
        signal.raise_signal(signal.SIGTERM)  # the default action is restored: the process ends
    fabric.barrier()
    return checkpoints.list_complete(folder / "checkpoints")[-1]


def train_step(run: Run, step: int, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step of both networks on one batch: the losses as means over its parts, and the norms of the gradients."""
    p, means = run.p, dict[str, Tensor]()
    for optimizer, rate in ((run.g_optimizer, p.lr_generator), (run.d_optimizer, p.lr_discriminator)):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_factor(p, step)
    active = discriminator_active(p, step)
    run.generator.train()
    if isinstance(run.trained, Generator):
        run.trained.step_spectral_norm()
    for first in range(0, run.part_size * p.accumulate, run.part_size):
        part = slice(first, first + run.part_size)
        degraded, clean = (_to_device(batch[name][part], run.device) for name in ("degraded", "clean"))
        with run.fabric.autocast():  # one pass of each network
            restored, losses = forward(run, degraded, clean)
            picture = restored.detach().requires_grad_()  # the generator's graph is cut here
            # before the discriminator's pass, because the order of the passes is the order in which gradients are added
            image_losses = {name: (w, loss(picture, clean, degraded)) for name, (w, loss) in losses.items()}
            answers = None
            if active:
                run.discriminator.train(first == 0)  # spectral norm is updated once a step
                judge = augmentation.judge(run.discriminator, p.augment, degraded)
                with parametrize.cached():  # and is computed once for both batches of faces
                    answers = judge(picture), judge(clean)
        values, gradient_of_picture = generator_step(run, step, picture, image_losses, answers)
        if answers:
            values |= discriminator_step(run, step, clean, judge, answers)
        restored.backward(gradient_of_picture)  # the discriminator's graph is already freed
        means = {name: means.get(name, 0) + value.detach() / p.accumulate for name, value in values.items()}
    norms = {}
    if active:
        norms["gradient of the discriminator"] = _update(run, run.discriminator, run.d_optimizer)
    norms["gradient of the generator"] = _update(run, run.generator, run.g_optimizer)
    run.scaler.update()
    update_average(run.average, run.generator, min(p.ema_decay, (1 + step) / (10 + step)))
    return means, norms


def forward(run: Run, degraded: Tensor, clean: Tensor) -> tuple[Tensor, Mapping[str, Weighted]]:
    """The generator's faces and their losses; a flow draws them from its own noise, and has one loss more."""
    if not isinstance(run.generator, Flow):
        return run.generator(degraded), run.losses
    restored, weights = run.generator.predict(degraded, clean)
    return restored, {**run.losses, "flow": (1.0, lambda r, c, _: Flow.loss(r, c, weights))}


def discriminator_step(run: Run, step: int, clean: Tensor, judge: Judge, answers: AnswerPair) -> dict[str, Tensor]:
    """The discriminator's losses for its outputs; adds their gradients to those of the discriminator's weights."""
    p = run.p
    losses = {"discriminator": discriminator_loss(p.adversarial, *answers)}
    total = losses["discriminator"]
    if p.r1_weight and step % p.r1_every == 0:  # rare steps with a larger weight (lazy regularisation)
        run.discriminator.eval()
        clean = clean.clone().requires_grad_()
        losses["r1"] = r1_penalty(judge(clean), clean)
        total = total + p.r1_weight * p.r1_every * losses["r1"]
    run.scaler.scale(total / p.accumulate).backward(inputs=list(run.discriminator.parameters()))
    return losses


def generator_step(
    run: Run, step: int, picture: Tensor, image_losses: Mapping[str, tuple[float, Tensor]], answers: AnswerPair | None
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's losses on a restored image, and the gradient of their weighted sum with respect to that image."""
    p = run.p
    with run.fabric.autocast():
        losses = dict(image_losses)  # name -> weight and value
        if answers:
            active = step >= p.adversary_from  # before, only the discriminator learns
            losses["adversarial"] = p.adversarial_weight * active, generator_loss(p.adversarial, answers[0])
            losses["feature_matching"] = p.feature_matching_weight * active, feature_matching(*answers)
        total = torch.stack([weight * value for weight, value in losses.values()]).sum()
    scaled = run.scaler.scale(total / p.accumulate)
    (gradient,) = torch.autograd.grad(scaled, picture, retain_graph=answers is not None)
    return {name: value for name, (_, value) in losses.items()}, gradient


def discriminator_active(p: Training, step: int) -> bool:
    """Whether the discriminator learns at this step; it may begin before the generator uses the adversarial losses."""
    needed = p.adversarial_weight > 0 or p.feature_matching_weight > 0
    return needed and step >= p.adversary_from - p.discriminator_warmup


def rate_factor(p: Training, step: int) -> float:
    """Factor on the learning rates: a linear rise to 1, then 1, then a linear or a cosine's fall to just above 0."""
    rise, fall = min(1.0, (step + 1) / (p.warmup_steps + 1)), min(1.0, (p.steps - step) / (p.decay_steps + 1))
    return rise * (fall if p.schedule == "linear" else (1 - math.cos(math.pi * fall)) / 2)


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * current; buffers are copied."""
    get_ema_multi_avg_fn(keep)(list(average.parameters()), list(current.parameters()), None)
    for old, new in zip(average.buffers(), current.buffers(), strict=True):
        old.copy_(new)


def _update(run: Run, network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """Average the gradients over processes, clip them, step, and clear them; returns their norm before clipping."""
    distributed.average_gradients(run.fabric, network)
    if run.p.gradient_clip:
        run.scaler.unscale_(optimizer)
    norm = nn.utils.get_total_norm([w.grad for w in network.parameters() if w.grad is not None])
    if run.p.gradient_clip:
        nn.utils.clip_grads_with_norm_(network.parameters(), run.p.gradient_clip, norm)
    run.scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return norm


def write_log_line(
    run: Run, log: Journal | None, done: int, means: Mapping[str, Tensor], strip: Batch, begun: float, picture_due: bool
) -> None:
    """Write the losses, the strip's measures and the rate after ``done`` steps; warnings and, if due, a picture."""
    stacked = torch.stack([value.float() for value in means.values()])
    averaged = run.fabric.all_reduce(stacked, reduce_op="mean").tolist()
    if log is None:  # not the first process
        return
    measures, picture = measure_strip(run, strip, discriminator_active(run.p, done - 1))
    values = {**dict(zip(means, averaged, strict=True)), **measures, "lr": run.g_optimizer.param_groups[0]["lr"]}
    log.numbers(done, {"seconds": round(time.monotonic() - begun, 3), **values})
    for warning in run.health.warnings(done, values):
        log.warn(done, warning)
    if picture_due:
        log.picture(done, picture)


@torch.no_grad()
def measure_strip(run: Run, strip: Batch, judged: bool) -> tuple[dict[str, float], images.Pixels]:
    """PSNR of the strip in dB, the measures of :mod:`hifacegan_lib.training.health`, and a picture.

    The averaged weights restore the strip; ``judged`` adds the measures of the discriminator. The rows of the picture
    are degraded, restored and clean faces.
    """
    degraded, clean = (_to_device(strip[name], run.device) for name in ("degraded", "clean"))
    restored = run.average(degraded)
    check_range(run.average, restored)
    psnr = -10 * (restored - clean).square().mean((1, 2, 3)).clamp_min(1e-10).log10()
    casts = dict(zip(("cast_r", "cast_g", "cast_b"), health.colour_cast(restored, clean).tolist(), strict=True))
    values = {"psnr": psnr.mean().item(), **casts, "droplets": health.droplets(restored, clean).max().item()}
    if judged:
        judge = run.discriminator.eval()
        clean_scores, restored_scores = ([s[-1] for s in judge(degraded, face)] for face in (clean, restored))
        values["d_margin"], values["d_accuracy"] = health.separation(clean_scores, restored_scores, run.health.middle)
    cells = [images.to_uint8(face) for row in (degraded, restored, clean) for face in row]
    return values, images.grid(cells, columns=len(clean))


def _to_device(batch: Tensor, device: torch.device) -> Tensor:
    return batch.to(device, memory_format=torch.channels_last)
