"""The state of a training run (networks, averaged weights, optimizers): build, save, restore bit by bit."""

import copy
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hifacegan_lib.models import checkpoints, networks
from hifacegan_lib.models.discriminator import KINDS
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.params import ParamsError, Training
from hifacegan_lib.training import distributed, health, losses

Networks = tuple[nn.Module, nn.Module]
"""Generator, N x 3 x H x W in [0, 1] -> same shape and range; discriminator with the interface of ``Discriminator``."""


def with_objective(p: Training) -> Training:
    """The parameters with weight 0 for the losses that the objective leaves out, and a flow's gradient clipping."""
    left_out = {"adversarial": (), "pixels": ("adversarial", "feature_matching"), "flow": losses.NAMES}[p.objective]
    clip = {"gradient_clip": p.flow_clip} if p.objective == "flow" else {}
    return p.model_copy(update={f"{name}_weight": 0.0 for name in left_out} | clip)


class Run:
    """The objects that a training step reads and changes: networks, averaged weights, optimizers, losses, monitor."""

    def __init__(self, p: Training, fabric: Any, networks: Networks, own: Mapping[str, losses.Weighted]) -> None:
        self.p = p = with_objective(p)
        self.fabric, self.device = fabric, fabric.device
        self.part_size = distributed.part_size(p.batch_size, fabric.world_size, p.accumulate)
        self.generator, self.discriminator = networks
        self.trained = self.generator.network if isinstance(self.generator, Flow) else self.generator
        if isinstance(self.trained, Generator):
            self.trained.checkpointing = p.activation_checkpointing
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        betas = (p.beta1, p.beta2)
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), p.lr_generator, betas, fused=True)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), p.lr_discriminator, betas, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=p.precision == "float16")
        self.losses = losses.image_losses(p, own, self.device)
        self.health = health.Monitor(p.adversarial)

    def state(self) -> dict[str, Any]:
        """The objects whose state is in a checkpoint's state.pt, by their names there."""
        return {
            "discriminator": self.discriminator,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
            "scaler": self.scaler,
            "watch": self.health,
        }


def save(run: Run, folder: Path, done: int, seconds: float, identity: Mapping[str, Any]) -> None:
    """Write the checkpoint after ``done`` steps; only the first process writes."""
    if run.fabric.is_global_zero:
        state = {name: part.state_dict() for name, part in run.state().items()}
        state |= {"random": random_state(run.device), "seconds": seconds, "identity": json.dumps(identity)}
        info = {"image_size": run.p.image_size, "recipe": run.p.recipe, "run_name": run.p.run_name, "step": done}
        checkpoints.save_training(folder, done, run.generator, run.average, state, info, run.p.keep_checkpoints)


def restore(run: Run, folder: Path, identity: Mapping[str, Any]) -> tuple[int, float]:
    """Load the newest checkpoint into the run; returns its step and seconds, both 0 without a checkpoint."""
    found = checkpoints.list_complete(folder)
    if not found:
        return 0, 0.0
    state, parts = checkpoints.load_state(found[-1], run.device), run.state()
    if lacking := sorted({*parts, "random", "seconds", "identity"} - set(state)):
        raise ValueError(f"{found[-1]}: written by another version of the workbench; missing: {', '.join(lacking)}")
    saved = json.loads(state["identity"])
    if "parameters" in saved:  # of a run that is older than a parameter
        newer = identity.get("parameters", {}).keys() - saved["parameters"].keys()
        saved["parameters"] |= {name: Training.model_fields[name].default for name in newer}
    if differ := checkpoints.differences(saved, identity):
        more = f"; and {len(differ) - 8} more" if len(differ) > 8 else ""
        raise ValueError(f"{found[-1]} belongs to another run ({'; '.join(differ[:8])}{more})")
    for network, name in ((run.generator, "generator"), (run.average, "ema")):
        checkpoints.load_generator(found[-1] / f"{name}.safetensors", run.device, network)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    set_random_state(state["random"], run.device)
    return state["step"], state["seconds"]


def build(p: Training, device: torch.device, config: GeneratorConfig | None = None) -> tuple[Any, nn.Module]:
    """Both networks of a run, initialised by its seed; the state of PyTorch's global random generator is kept.

    ``config`` is a ``Generator``'s shape; by default ``p`` names the network and its shape.

    Raises:
        ParamsError: the network's name or an option is unknown, or its package is missing.
    """
    name, options = (p.network, json.loads(p.network_options or "{}")) if config is None else (networks.OURS, {})
    if name == networks.OURS:
        fields = (field.name for field in dataclasses.fields(GeneratorConfig))
        taken = {field: getattr(p, field) for field in fields if field in type(p).model_fields}
        options = dataclasses.asdict(config or GeneratorConfig(**taken))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        try:
            generator = networks.build(name, options)
        except (ImportError, ValueError) as error:
            raise ParamsError(str(error)) from None
        discriminator = KINDS[p.discriminator](p.discriminator_width, detail=p.discriminator_detail)
    layout = torch.channels_last
    return generator.to(device, memory_format=layout), discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of PyTorch's random generators, which layers such as dropout use."""
    gpu = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **gpu}


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the states of :func:`random_state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
