"""The one visible loop: restore a batch, ask the losses, step the discriminator, then the generator, then the average.

    G minimises   adversarial + 10 feature matching + 10 perceptual + l1   (weights are parameters)
    D minimises   LSGAN on the same restored faces, at its own, faster rate (two time scales)

A step is one pass of each network. The generator's graph is cut at its picture: what the losses answer about it serves
both sides, D's weights and the picture's gradient, which alone goes back through the generator. Both gradients are of
the weights before the step.

The loop gets its pairs from whoever calls it and everything else from :class:`hifacegan_lib.params.Training`. It draws
nothing at random itself: on the CPU a run that was killed and resumed ends with the same bits as one that was not.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from hifacegan_lib import checkpoints, images, losses
from hifacegan_lib.discriminator import Discriminator
from hifacegan_lib.generator import Generator, GeneratorConfig
from hifacegan_lib.params import ParamsError, Training

Batch = Mapping[str, Any]


def train(
    p: Training,
    batches: Callable[[int], Iterator[Batch]],
    strip: Batch,
    folder: str | Path,
    networks: tuple[Generator, Discriminator] | None = None,
) -> Path:
    """Run the loop from the last checkpoint below ``folder`` (or from nothing) to ``p.steps``.

    Args:
        p: the run's parameters.
        batches: step -> iterator over the batches from that step on; each has ``clean`` and ``degraded``, N x 3 x H x W
            in [0, 1], and ``key``, N names.
        strip: one fixed batch of validation faces, for pictures and PSNR.
        folder: gets metrics.jsonl, tensorboard/, figures/ and checkpoints/.
        networks: what to train instead of what :func:`build` makes of ``p``.
    Returns:
        The folder of the last checkpoint.
    Raises:
        FloatingPointError: a loss is no longer finite; the last checkpoint is untouched.
        FileNotFoundError: ``perceptual_weight`` is on and VGG-19's weights are not there.
    """
    folder, device = Path(folder), pick_device(p.device)
    generator, discriminator = networks or build(p, device)
    generator.checkpointing = p.activation_checkpointing
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    betas = (p.beta1, p.beta2)
    g_optimizer = torch.optim.Adam(generator.parameters(), p.lr_generator, betas, fused=True)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), p.lr_discriminator, betas, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=p.precision == "float16")
    perceptual = losses.PerceptualLoss().to(device) if p.perceptual_weight else None
    modules: dict[str, Any] = {
        "discriminator": discriminator,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
        "scaler": scaler,
    }

    start = _restore(folder / "checkpoints", generator, average, modules, device) if p.resume else 0
    log = _Log(folder, start)
    stream = batches(start)
    info = {"image_size": p.image_size, "recipe": p.recipe, "run_name": p.run_name}
    bar = tqdm(range(start, p.steps), initial=start, total=p.steps, desc="train", mininterval=1.0, dynamic_ncols=True)
    for step in bar:
        batch = next(stream)
        degraded, clean = (_place(batch[name], device) for name in ("degraded", "clean"))
        for optimizer, rate in ((g_optimizer, p.lr_generator), (d_optimizer, p.lr_discriminator)):
            for group in optimizer.param_groups:
                group["lr"] = rate * decay(step, p.steps, p.decay_steps)

        # one pass of each network; every loss is asked about the picture alone
        generator.train()
        generator.step_spectral_norm()
        with _autocast(p, device):
            restored = generator(degraded)
            picture = restored.detach().requires_grad_()
            terms: dict[str, Tensor] = {"l1": F.l1_loss(picture, clean)}
            if perceptual is not None:
                terms["perceptual"] = perceptual(picture, clean)
            if has_adversary(p) and step >= p.adversary_from:
                with parametrize.cached():  # spectral norm is taken once for both
                    fake, real = discriminator(degraded, picture), discriminator(degraded, clean)
                terms["adversarial"] = losses.lsgan_generator(fake)
                terms["feature_matching"] = losses.feature_matching(fake, real)
            total = torch.stack([getattr(p, f"{name}_weight") * term for name, term in terms.items()]).sum()
        (pull,) = torch.autograd.grad(scaler.scale(total), picture, retain_graph="adversarial" in terms)

        # discriminator: the same answers, of which this time its own weights are asked; the picture is given
        if "adversarial" in terms:
            terms["discriminator"] = losses.lsgan_discriminator(fake, real)
            scaler.scale(terms["discriminator"]).backward(inputs=list(discriminator.parameters()))
            _update(d_optimizer, scaler, discriminator, p.gradient_clip)

        # generator: from the picture back
        restored.backward(pull)
        _update(g_optimizer, scaler, generator, p.gradient_clip)
        scaler.update()
        update_average(average, generator, min(p.ema_decay, (1 + step) / (10 + step)))

        done = step + 1
        last = done == p.steps
        saves = last or done % p.checkpoint_every == 0
        draws = last or done % p.picture_every == 0
        if saves or draws or done % p.log_every == 0:
            values = {name: term.item() for name, term in terms.items()}
            _refuse_non_finite(values, done, batch)
            values["psnr"], picture = look(average, strip, device)
            log.numbers(done, {**values, "lr": g_optimizer.param_groups[0]["lr"]})
            bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
        if draws:
            log.picture(done, picture)
        if saves:
            state = {name: module.state_dict() for name, module in modules.items()}
            checkpoints.save_training(
                folder / "checkpoints", done, generator, average, state, {**info, "step": done}, p.keep_checkpoints
            )
    log.close()
    return checkpoints.steps(folder / "checkpoints")[-1]


def build(p: Training, device: torch.device) -> tuple[Generator, Discriminator]:
    """Both networks of a run, initialised by its seed without touching the global generator of random numbers."""
    config = GeneratorConfig(
        width=p.width,
        widest=p.widest,
        stages=p.stages,
        suppression=p.suppression,
        guidance=p.guidance,
        modulation=p.modulation,
        patch=p.patch,
        hidden=p.hidden,
        skip=p.skip,
        spectral_norm=p.spectral_norm,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        generator, discriminator = Generator(config), Discriminator(p.discriminator_width)
    layout = torch.channels_last
    return generator.to(device, memory_format=layout), discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]


def has_adversary(p: Training) -> bool:
    """Whether any term needs a discriminator."""
    return p.adversarial_weight > 0 or p.feature_matching_weight > 0


def decay(step: int, steps: int, decay_steps: int) -> float:
    """Factor on the learning rates: 1, then a straight line that would reach 0 at ``steps``."""
    return min(1.0, (steps - step) / (decay_steps + 1))


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        ParamsError: the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in there.items() if present))
    if not there[torch.device(name).type]:
        raise ParamsError(f"device = {name!r}: not available here; available: {[k for k, v in there.items() if v]}")
    return torch.device(name)


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * current; buffers are copied."""
    get_ema_multi_avg_fn(keep)(list(average.parameters()), list(current.parameters()), None)
    for old, new in zip(average.buffers(), current.buffers(), strict=True):
        old.copy_(new)


@torch.no_grad()
def look(generator: Generator, strip: Batch, device: torch.device) -> tuple[float, images.Pixels]:
    """Mean PSNR (dB) on the strip, and its picture: rows degraded, restored, clean."""
    degraded, clean = (_place(strip[name], device) for name in ("degraded", "clean"))
    restored = generator(degraded)
    psnr = -10 * (restored - clean).square().mean((1, 2, 3)).clamp_min(1e-10).log10()
    cells = [images.to_uint8(face) for row in (degraded, restored, clean) for face in row]
    return psnr.mean().item(), images.grid(cells, columns=len(clean))


def _place(batch: Tensor, device: torch.device) -> Tensor:
    return batch.to(device, memory_format=torch.channels_last)


def _autocast(p: Training, device: torch.device) -> torch.autocast:
    if p.precision == "float16" and device.type == "cpu":
        raise ParamsError("precision = 'float16': needs a GPU; allowed on the CPU: float32, bfloat16")
    return torch.autocast(device.type, getattr(torch, p.precision), enabled=p.precision != "float32")


def _update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, network: nn.Module, clip: float) -> None:
    """Step by the gradients that are there, then drop them."""
    if clip:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)


def _refuse_non_finite(values: Mapping[str, float], step: int, batch: Batch) -> None:
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(
            f"step {step}: {', '.join(broken)} not finite on {list(batch['key'])}; the last checkpoint is whole"
        )


def _restore(
    folder: Path, generator: Generator, average: Generator, modules: Mapping[str, Any], device: torch.device
) -> int:
    """Load the newest checkpoint into everything; its step, 0 when there is none."""
    found = checkpoints.steps(folder)
    if not found:
        return 0
    for network, name in ((generator, "generator"), (average, "ema")):
        network.load_state_dict(checkpoints.load_generator(found[-1] / f"{name}.safetensors", device)[0].state_dict())
    state = checkpoints.load_state(found[-1], device)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    return state["step"]


class _Log:
    """metrics.jsonl, TensorBoard and pictures of one run; lines after the resumed step are dropped."""

    def __init__(self, folder: Path, start: int) -> None:
        self.path, self.pictures = folder / "metrics.jsonl", folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= start]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def picture(self, step: int, picture: images.Pixels) -> None:
        images.save_image(self.pictures / f"step_{step:06d}.png", picture)
        self.board.add_image("strip", picture, step, dataformats="HWC")

    def close(self) -> None:
        self.board.close()
