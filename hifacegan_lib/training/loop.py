"""The training loop: one step of both networks, then what is done every N steps.

    G minimises   sum over losses of weight * loss(restored, clean, degraded) + adversarial + 10 feature matching
    D minimises   its side of the adversarial loss, and R1, on the same faces, at its own, faster rate (two time scales)

A step is one pass of each network. The generator's graph is cut at the restored picture: the losses give the gradient
of the picture, and that gradient alone goes back through the generator. Both gradients are of the weights before the
step. Processes may share a batch and work it off in parts: every loss is a mean over pairs, so gradients are added in
equal shares, and the step is that of the whole batch.

Pairs come from the caller, all else from :class:`hifacegan_lib.params.Training`. The loop draws nothing at random;
generators of random numbers that a network may draw from are kept in the checkpoint. On the CPU a run that was killed
and resumed ends with the same bits as one that was not.
"""

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
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.params import Training
from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.reports.run_log import Journal
from hifacegan_lib.training import distributed, health
from hifacegan_lib.training.losses import (
    Answers,
    Weighted,
    discriminator_loss,
    feature_matching,
    generator_loss,
    r1_penalty,
)
from hifacegan_lib.training.state import Networks, Run, build, restore, save
from hifacegan_lib.utils import images, stop_signals

Batch = Mapping[str, Any]
Judged = tuple[Answers, Answers]
"""The discriminator's answers to the restored faces and to the clean ones."""


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
    """Train from the last checkpoint below ``folder`` (or from nothing) to ``p.steps``.

    Ctrl-C saves and returns; a second one interrupts. SIGTERM saves and then ends the process.

    Args:
        p: the run's parameters.
        batches: step -> iterator over the batches from that step on; each has ``clean`` and ``degraded``, N x 3 x H x W
            in [0, 1], and ``key``, N names. With several processes, the share of this one.
        strip: one fixed batch of validation faces, for pictures and measures.
        folder: gets metrics.jsonl, warnings.jsonl, tensorboard/, figures/ and checkpoints/.
        networks: trained instead of the networks that :func:`build` makes of ``p``; any classes, on the run's device.
        fabric: see :func:`hifacegan_lib.training.distributed.launch`; by default started here.
        identity: what the weights depend on (parameters, recipe, data), as JSON values; kept in checkpoints.
        show: display of the run.
        losses: name -> (weight, function of restored, clean, degraded), added to those of ``p``; see
            :func:`hifacegan_lib.training.losses.image_losses`. Names and weights are kept in the checkpoint.
    Returns:
        The folder of the last checkpoint; that of an earlier step than ``p.steps`` when the run was asked to stop.
    Raises:
        FloatingPointError: a loss or a gradient is NaN or infinite; the last checkpoint is untouched.
        FileNotFoundError: ``perceptual_weight`` is on and its weights are not there.
        OSError: a checkpoint cannot be written; the last one is whole.
        ValueError: the checkpoint is of another run (the differences are listed), or a loss has a name in use.
    """
    folder, fabric, losses = Path(folder), fabric or distributed.launch(p.device, p.precision), losses or {}
    run = Run(p, fabric, networks or build(p, fabric.device), losses)
    weights = {"losses": {name: weight for name, (weight, _) in losses.items()}} if losses else {}
    identity = {**(identity or {}), **weights}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []))
        torch.manual_seed(p.seed + fabric.global_rank)
        start, spent = restore(run, folder / "checkpoints", identity) if p.resume else (0, 0.0)
        begun, done = time.monotonic() - spent, start
        log = Journal(folder, start, show) if fabric.is_global_zero else None
        if log:
            stack.callback(log.close)
        asked = stack.enter_context(stop_signals.record_signals())
        stream, finite = batches(start), health.FiniteCheck(folder / "checkpoints")
        for step in range(start, p.steps):
            batch = next(stream)
            found, norms = train_step(run, step, batch)
            done = step + 1
            finite.note(done, batch["key"], found | ({} if run.scaler.is_enabled() else norms))
            if log:
                log.step(done)
            stopped = distributed.any_of(fabric, asked.received is not None)
            at_checkpoint = done == p.steps or done % p.checkpoint_every == 0
            at_picture = done == p.steps or done % p.picture_every == 0
            at_line = at_checkpoint or at_picture or done % p.log_every == 0
            if at_line or stopped:
                finite.check()
                finite.check_scale(done, run.scaler)
            if at_line:
                write_line(run, log, done, found, strip, begun, at_picture)
            if at_checkpoint or stopped:
                save(run, folder / "checkpoints", done, time.monotonic() - begun, identity)
            if stopped:
                break
        finite.check()
        if log and done < p.steps:
            name = asked.received.name if asked.received else "another process"
            log.say(f"stopped by {name} at step {done} of {p.steps}, all saved; the same run goes on from there")
    if asked.received == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # the default action now: the process ends
    fabric.barrier()
    return checkpoints.steps(folder / "checkpoints")[-1]


def train_step(run: Run, step: int, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step of both networks by one batch: the losses, means over its parts, and the norms of the gradients."""
    p, found = run.p, dict[str, Tensor]()
    for optimizer, rate in ((run.g_optimizer, p.lr_generator), (run.d_optimizer, p.lr_discriminator)):
        for group in optimizer.param_groups:
            group["lr"] = rate * decay(step, p.steps, p.decay_steps)
    active = discriminator_active(p, step)
    run.generator.train()
    if isinstance(run.generator, Generator):
        run.generator.step_spectral_norm()
    for first in range(0, run.part_size * p.accumulate, run.part_size):
        degraded, clean = (_place(batch[name][first:][: run.part_size], run.device) for name in ("degraded", "clean"))
        with run.fabric.autocast():  # one pass of each network
            restored = run.generator(degraded)
            picture = restored.detach().requires_grad_()  # the generator's graph is cut here
            # before the discriminator's pass: the order of passes is that in which gradients are added, to the bit
            image_losses = {name: loss(picture, clean, degraded) for name, (_, loss) in run.losses.items()}
            answers = None
            if active:
                run.discriminator.train(first == 0)  # spectral norm moves once a step
                with parametrize.cached():  # and is computed once for both faces
                    answers = run.discriminator(degraded, picture), run.discriminator(degraded, clean)
        values, gradient_of_picture = generator_step(run, step, picture, image_losses, answers)
        if answers:
            values |= discriminator_step(run, step, clean, degraded, answers)
        restored.backward(gradient_of_picture)  # now that the discriminator's graph is gone
        found = {name: found.get(name, 0) + value.detach() / p.accumulate for name, value in values.items()}
    norms = {}
    if active:
        norms["gradient of the discriminator"] = _update(run, run.discriminator, run.d_optimizer)
    norms["gradient of the generator"] = _update(run, run.generator, run.g_optimizer)
    run.scaler.update()
    update_average(run.average, run.generator, min(p.ema_decay, (1 + step) / (10 + step)))
    return found, norms


def discriminator_step(run: Run, step: int, clean: Tensor, degraded: Tensor, answers: Judged) -> dict[str, Tensor]:
    """The discriminator's losses by its answers to the restored and the clean faces; adds to its weights' gradients."""
    p = run.p
    found = {"discriminator": discriminator_loss(p.adversarial, *answers)}
    total = found["discriminator"]
    if p.r1_weight and step % p.r1_every == 0:  # seldom and stronger (lazy regularisation)
        run.discriminator.eval()
        given = clean.clone().requires_grad_()
        found["r1"] = r1_penalty(run.discriminator(degraded, given), given)
        total = total + p.r1_weight * p.r1_every * found["r1"]
    run.scaler.scale(total / p.accumulate).backward(inputs=list(run.discriminator.parameters()))
    return found


def generator_step(
    run: Run, step: int, picture: Tensor, image_losses: Mapping[str, Tensor], answers: Judged | None
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's losses on a restored picture, and the gradient of their weighted sum by that picture."""
    p = run.p
    with run.fabric.autocast():
        found = dict(image_losses)
        weights = {name: weight for name, (weight, _) in run.losses.items()}
        if answers:
            restored_answers, clean_answers = answers
            found["adversarial"] = generator_loss(p.adversarial, restored_answers)
            found["feature_matching"] = feature_matching(restored_answers, clean_answers)
            listens = adversary_active(p, step)  # before, the discriminator learns alone
            weights["adversarial"] = p.adversarial_weight * listens
            weights["feature_matching"] = p.feature_matching_weight * listens
        total = torch.stack([weights[name] * loss for name, loss in found.items()]).sum()
    scaled = run.scaler.scale(total / p.accumulate)
    (gradient,) = torch.autograd.grad(scaled, picture, retain_graph=answers is not None)
    return found, gradient


def discriminator_active(p: Training, step: int) -> bool:
    """Whether the discriminator learns at this step; it may begin before the generator listens to it."""
    return has_adversary(p) and step >= p.adversary_from - p.discriminator_warmup


def adversary_active(p: Training, step: int) -> bool:
    """Whether the generator listens to the discriminator at this step."""
    return has_adversary(p) and step >= p.adversary_from


def has_adversary(p: Training) -> bool:
    """Whether a loss needs a discriminator."""
    return p.adversarial_weight > 0 or p.feature_matching_weight > 0


def decay(step: int, steps: int, decay_steps: int) -> float:
    """Factor on the learning rates: 1, then a straight line that would reach 0 at ``steps``."""
    return min(1.0, (steps - step) / (decay_steps + 1))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * current; buffers are copied."""
    get_ema_multi_avg_fn(keep)(list(average.parameters()), list(current.parameters()), None)
    for old, new in zip(average.buffers(), current.buffers(), strict=True):
        old.copy_(new)


def _update(run: Run, network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """Average the gradients over processes, clip them, step by them, drop them; their norm before clipping."""
    distributed.average_gradients(run.fabric, network)
    if run.p.gradient_clip:
        run.scaler.unscale_(optimizer)
    norm = nn.utils.get_total_norm([w.grad for w in network.parameters() if w.grad is not None])
    if run.p.gradient_clip:
        nn.utils.clip_grads_with_norm_(network.parameters(), run.p.gradient_clip, norm)
    run.scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return norm


def write_line(
    run: Run, log: Journal | None, done: int, found: Mapping[str, Tensor], strip: Batch, begun: float, at_picture: bool
) -> None:
    """A line of metrics.jsonl after ``done`` steps: losses, the strip's measures, rate; warnings; perhaps a picture."""
    means = distributed.mean_over(run.fabric, torch.stack([value.float() for value in found.values()])).tolist()
    if log is None:  # not the first process
        return
    discriminator = run.discriminator if discriminator_active(run.p, done - 1) else None
    measures, picture = look(run.average, discriminator, run.health.middle, strip, run.device)
    values = {**dict(zip(found, means, strict=True)), **measures, "lr": run.g_optimizer.param_groups[0]["lr"]}
    log.numbers(done, {"seconds": round(time.monotonic() - begun, 3), **values})
    for warning in run.health.warnings(done, values):
        log.warn(done, warning)
    if at_picture:
        log.picture(done, picture)


@torch.no_grad()
def look(
    generator: nn.Module, discriminator: nn.Module | None, middle: float, strip: Batch, device: torch.device
) -> tuple[dict[str, float], images.Pixels]:
    """PSNR of the strip in dB and the measures of :mod:`hifacegan_lib.training.health`, and a picture.

    Rows of the picture: degraded, restored, clean.
    """
    degraded, clean = (_place(strip[name], device) for name in ("degraded", "clean"))
    restored = generator(degraded)
    psnr = -10 * (restored - clean).square().mean((1, 2, 3)).clamp_min(1e-10).log10()
    casts = dict(zip(("cast_r", "cast_g", "cast_b"), health.colour_cast(restored, clean).tolist(), strict=True))
    values = {"psnr": psnr.mean().item(), **casts, "droplets": health.droplets(restored, clean).max().item()}
    if discriminator is not None:
        real, fake = ([scale[-1] for scale in discriminator.eval()(degraded, face)] for face in (clean, restored))
        values["d_margin"], values["d_accuracy"] = health.separation(real, fake, middle)
    cells = [images.to_uint8(face) for row in (degraded, restored, clean) for face in row]
    return values, images.grid(cells, columns=len(clean))


def _place(batch: Tensor, device: torch.device) -> Tensor:
    return batch.to(device, memory_format=torch.channels_last)
