"""The one visible loop: restore a batch, ask the losses, step the discriminator, then the generator, then the average.

    G minimises   adversarial + 10 feature matching + 10 perceptual + pixel terms   (weights are parameters)
    D minimises   its side of the adversarial loss, and R1, on the same faces, at its own, faster rate (two time scales)

A step is one pass of each network. The generator's graph is cut at its picture: what the losses answer about it serves
both sides, D's weights and the picture's gradient, which alone goes back through the generator. Both gradients are of
the weights before the step. A batch may be shared by processes and worked off in parts: every loss is a mean over
pairs, so the gradients are summed by shares, and the step is that of the whole batch.

The loop gets its pairs from whoever calls it and everything else from :class:`hifacegan_lib.params.Training`. It draws
nothing at random by itself; what a network might draw comes from generators that the checkpoint keeps. On the CPU a run
that was killed and resumed ends with the same bits as one that was not.
"""

import copy
import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.discriminator import Discriminator
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.params import Training
from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.reports.run_log import Journal
from hifacegan_lib.training import distributed, health, losses, perceptual
from hifacegan_lib.training.finite import Finite
from hifacegan_lib.utils import images, stop_signals

Batch = Mapping[str, Any]
TERMS = ("l1", "charbonnier", "perceptual", "adversarial", "feature_matching")
"""What the generator may be asked for; each has a ``<name>_weight`` among the parameters."""


def train(
    p: Training,
    batches: Callable[[int], Iterator[Batch]],
    strip: Batch,
    folder: str | Path,
    networks: tuple[Generator, Discriminator] | None = None,
    fabric: Any = None,
    identity: Mapping[str, Any] | None = None,
    show: Progress | None = None,
) -> Path:
    """Run the loop from the last checkpoint below ``folder`` (or from nothing) to ``p.steps``.

    Ctrl-C saves and returns; a second one interrupts. SIGTERM saves and then ends the process.

    Args:
        p: the run's parameters.
        batches: step -> iterator over the batches from that step on; each has ``clean`` and ``degraded``, N x 3 x H x W
            in [0, 1], and ``key``, N names. With several processes, this one's share.
        strip: one fixed batch of validation faces, for pictures and measures.
        folder: gets metrics.jsonl, warnings.jsonl, tensorboard/, figures/ and checkpoints/.
        networks: what to train instead of what :func:`build` makes of ``p``.
        fabric: see :func:`hifacegan_lib.training.distributed.launch`; by default started here.
        identity: what the weights depend on (parameters, recipe, data), as JSON values; kept in checkpoints.
        show: who shows the run meanwhile.
    Returns:
        The folder of the last checkpoint; that of an earlier step than ``p.steps`` when the run was asked to stop.
    Raises:
        FloatingPointError: a loss or a gradient is no longer finite; the last checkpoint is untouched.
        FileNotFoundError: ``perceptual_weight`` is on and its weights are not there.
        OSError: a checkpoint cannot be written; the last one is whole.
        ValueError: the checkpoint is of another run; the differences are listed.
    """
    folder, fabric = Path(folder), fabric or distributed.launch(p.device, p.precision)
    device, lead = fabric.device, fabric.is_global_zero
    part_size = distributed.parts(p.batch_size, fabric.world_size, p.accumulate)
    generator, discriminator = networks or build(p, device)
    generator.checkpointing = p.activation_checkpointing
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    betas = (p.beta1, p.beta2)
    g_optimizer = torch.optim.Adam(generator.parameters(), p.lr_generator, betas, fused=True)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), p.lr_discriminator, betas, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=p.precision == "float16")
    vgg = perceptual.load(p.perceptual_file).to(device) if p.perceptual_weight else None
    signs = health.Watch(p.adversarial)
    state: dict[str, Any] = {
        "discriminator": discriminator,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
        "scaler": scaler,
        "watch": signs,
        "random": _Random(device),
    }
    info = {"image_size": p.image_size, "recipe": p.recipe, "run_name": p.run_name}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        torch.manual_seed(p.seed + fabric.global_rank)
        start, spent = 0, 0.0
        if p.resume:
            start, spent = _restore(folder / "checkpoints", generator, average, state, identity or {}, device)
        journal = Journal(folder, start, show) if lead else None
        if journal:
            stack.callback(journal.close)
        asked = stack.enter_context(stop_signals.noticed())
        stream, finite = batches(start), Finite(folder / "checkpoints")
        begun, done = time.monotonic() - spent, start
        for step in range(start, p.steps):
            batch = next(stream)
            for optimizer, rate in ((g_optimizer, p.lr_generator), (d_optimizer, p.lr_discriminator)):
                for group in optimizer.param_groups:
                    group["lr"] = rate * decay(step, p.steps, p.decay_steps)
            learns = has_adversary(p) and step >= p.adversary_from - p.discriminator_warmup
            joins = has_adversary(p) and step >= p.adversary_from
            weigh = {name: getattr(p, f"{name}_weight") for name in TERMS}
            if not joins:  # the discriminator learns alone
                weigh |= {"adversarial": 0.0, "feature_matching": 0.0}
            terms: dict[str, Tensor] = {}

            generator.train()
            generator.step_spectral_norm()
            for first in range(0, part_size * p.accumulate, part_size):
                degraded, clean = (_place(batch[name][first:][:part_size], device) for name in ("degraded", "clean"))
                # one pass of each network; every loss is asked about the picture alone
                with fabric.autocast():
                    restored = generator(degraded)
                    picture = restored.detach().requires_grad_()
                    found = {"l1": F.l1_loss(picture, clean)}
                    if p.charbonnier_weight:
                        found["charbonnier"] = losses.charbonnier(picture, clean, p.charbonnier_epsilon)
                    if vgg is not None:
                        found["perceptual"] = vgg(picture, clean)
                    if learns:
                        discriminator.train(first == 0)  # its spectral norm moves once a step
                        with parametrize.cached():  # and is taken once for both
                            fake, real = discriminator(degraded, picture), discriminator(degraded, clean)
                        found["adversarial"] = losses.generator_loss(p.adversarial, fake)
                        found["feature_matching"] = losses.feature_matching(fake, real)
                    total = torch.stack([weigh[name] * term for name, term in found.items()]).sum()
                (pull,) = torch.autograd.grad(scaler.scale(total / p.accumulate), picture, retain_graph=learns)

                # discriminator: the same answers, of which this time its own weights are asked; the picture is given
                if learns:
                    found["discriminator"] = losses.discriminator_loss(p.adversarial, fake, real)
                    against = found["discriminator"]
                    if p.r1_weight and step % p.r1_every == 0:  # seldom and stronger (lazy regularisation)
                        discriminator.eval()
                        leaf = clean.clone().requires_grad_()
                        found["r1"] = losses.r1_penalty(discriminator(degraded, leaf), leaf)
                        against = against + p.r1_weight * p.r1_every * found["r1"]
                    scaler.scale(against / p.accumulate).backward(inputs=list(discriminator.parameters()))

                # generator: from the picture back
                restored.backward(pull)
                for name, term in found.items():
                    terms[name] = terms.get(name, 0) + term.detach() / p.accumulate

            norms = {}
            if learns:
                norms["gradient of the discriminator"] = _update(
                    fabric, d_optimizer, scaler, discriminator, p.gradient_clip
                )
            norms["gradient of the generator"] = _update(fabric, g_optimizer, scaler, generator, p.gradient_clip)
            scaler.update()
            update_average(average, generator, min(p.ema_decay, (1 + step) / (10 + step)))

            done = step + 1
            finite.see(done, batch["key"], terms | ({} if scaler.is_enabled() else norms))
            if journal:
                journal.step(done)
            stops = distributed.any_of(fabric, asked.came is not None)
            saves = done == p.steps or done % p.checkpoint_every == 0
            draws = done == p.steps or done % p.picture_every == 0
            if saves or draws or stops or done % p.log_every == 0:
                finite.check()
                finite.check_scale(done, scaler)
            if saves or draws or done % p.log_every == 0:
                numbers = distributed.mean_over(fabric, torch.stack([term.float() for term in terms.values()])).tolist()
                if journal:
                    judge = discriminator if learns else None
                    seen, shown = look(average, judge, signs.middle, strip, device)
                    rate = g_optimizer.param_groups[0]["lr"]
                    values = {**dict(zip(terms, numbers, strict=True)), **seen, "lr": rate}
                    journal.numbers(done, {"seconds": round(time.monotonic() - begun, 3), **values})
                    for warning in signs.see(done, values):
                        journal.warn(done, warning)
                    if draws:
                        journal.picture(done, shown)
            if (saves or stops) and lead:
                kept = {name: part.state_dict() for name, part in state.items()}
                kept |= {"seconds": time.monotonic() - begun, "identity": json.dumps(identity or {})}
                checkpoints.save_training(
                    folder / "checkpoints", done, generator, average, kept, {**info, "step": done}, p.keep_checkpoints
                )
            if stops:
                break
        finite.check()
        if journal and done < p.steps:
            name = asked.came.name if asked.came else "another process"
            journal.say(f"stopped by {name} at step {done} of {p.steps}, all saved; the same run goes on from there")
    if asked.came == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # now as its sender meant it
    fabric.barrier()
    return checkpoints.steps(folder / "checkpoints")[-1]


def build(p: Training, device: torch.device, config: GeneratorConfig | None = None) -> tuple[Generator, Discriminator]:
    """Both networks of a run, initialised by its seed without touching the global generator of random numbers.

    ``config`` is the generator's shape, by default what ``p`` says.
    """
    names = (field.name for field in dataclasses.fields(GeneratorConfig))
    asked = {name: getattr(p, name) for name in names if name in type(p).model_fields}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        generator = Generator(config or GeneratorConfig(**asked))
        discriminator = Discriminator(p.discriminator_width, detail=p.discriminator_detail)
    layout = torch.channels_last
    return generator.to(device, memory_format=layout), discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]


def has_adversary(p: Training) -> bool:
    """Whether any term needs a discriminator."""
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


@torch.no_grad()
def look(
    generator: Generator, discriminator: Discriminator | None, middle: float, strip: Batch, device: torch.device
) -> tuple[dict[str, float], images.Pixels]:
    """What the strip tells (PSNR in dB, and the signs of :mod:`hifacegan_lib.training.health`), and its picture.

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


def _update(
    fabric: Any, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, network: nn.Module, clip: float
) -> Tensor:
    """Average the gradients over processes, step by them, then drop them; their norm."""
    distributed.average_gradients(fabric, network)
    if clip:
        scaler.unscale_(optimizer)
    norm = nn.utils.get_total_norm([w.grad for w in network.parameters() if w.grad is not None])
    if clip:
        nn.utils.clip_grads_with_norm_(network.parameters(), clip, norm)
    scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return norm


def _restore(
    folder: Path,
    generator: Generator,
    average: Generator,
    modules: Mapping[str, Any],
    identity: Mapping[str, Any],
    device: torch.device,
) -> tuple[int, float]:
    """Load the newest checkpoint into everything; its step and the run's seconds, 0 when there is none."""
    found = checkpoints.steps(folder)
    if not found:
        return 0, 0.0
    state = checkpoints.load_state(found[-1], device)
    if lacking := sorted({*modules, "seconds", "identity"} - set(state)):
        raise ValueError(f"{found[-1]}: made by another version of the workbench, lacks {', '.join(lacking)}")
    checkpoints.refuse_differences(str(found[-1]), json.loads(state["identity"]), identity)
    for network, name in ((generator, "generator"), (average, "ema")):
        network.load_state_dict(checkpoints.load_generator(found[-1] / f"{name}.safetensors", device)[0].state_dict())
    for name, module in modules.items():
        module.load_state_dict(state[name])
    return state["step"], state["seconds"]


class _Random:
    """The generators of random numbers that networks draw from, as a part of the checkpoint."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def state_dict(self) -> dict[str, Tensor]:
        gpu = {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}
        return {"cpu": torch.get_rng_state(), **gpu}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"].cpu())
        if "cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"].cpu(), self.device)
