"""The networks of a training run before its first step: new ones, those of a file, or one's own; a flow around them."""

from pathlib import Path

import torch
from torch import nn

from hifacegan_lib.models import checkpoints, networks, published
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.params import ParamsError, Training
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.runs import project_path
from hifacegan_lib.training import state


def make(p: Training, device: torch.device, generator: nn.Module | None) -> state.Networks:
    """The networks of a run before its first step: by its parameters, from a file, or with a generator of one's own.

    A network that is not ``Generator`` is tried on noise.

    Raises:
        ParamsError: no such network, or a file or package that it needs is missing; ``init_from`` is a flow; two
            networks are given. TypeError: ``generator`` is no ``nn.Module``.
        ValueError: the network is none for faces, see :func:`hifacegan_lib.models.networks.check`.
    """
    if generator is not None and not isinstance(generator, nn.Module):
        raise TypeError(f"generator: expected an nn.Module such as MyNetwork(), got {generator!r}")
    if generator is not None and p.network != networks.OURS:
        raise ParamsError(f"network = {p.network!r}: a generator is given too; expected {networks.OURS}, the default")
    made, discriminator = initial_networks(p, device) or state.build(p, device)
    made = made if generator is None else generator.to(device)
    if not isinstance(made, Generator):
        faces = torch.rand(2, 3, p.image_size, p.image_size, generator=torch.Generator().manual_seed(p.seed))
        networks.check(made, faces.to(device))
    if p.objective == "flow":
        file = mean_file(p.flow_mean)
        if not file.exists():
            raise ParamsError(
                f"flow_mean = {p.flow_mean!r}: {file} does not exist; expected a file or checkpoint, or one of the "
                f"shipped weights: {', '.join(pretrained.names())}"
            )
        mean = published.read_any(file)[0].to(device)
        made = Flow(mean, made, p.flow_sigma, p.flow_steps, p.seed).to(device)
    return made, discriminator


def initial_networks(p: Training, device: torch.device) -> state.Networks | None:
    """The generator and discriminator in ``init_from``; None if it is empty.

    A file (ours, or published) gives the generator, and the discriminator is new: ``discriminator_warmup`` trains it
    before it influences the generator. The folder of a training checkpoint gives both.

    Raises:
        ParamsError: the folder's discriminator is of another kind or width.
    """
    if not p.init_from:
        return None
    loaded, _ = published.read_any(weights_file(p.init_from))
    if isinstance(loaded, Flow):
        raise ParamsError(f"init_from = {p.init_from!r}: a flow; expected a network that draws a face in one pass")
    if isinstance(loaded, Generator):
        generator, discriminator = state.build(p, device, loaded.config)
        generator.load_state_dict(loaded.state_dict())
    else:
        generator, discriminator = loaded.to(device), state.build(p, device)[1]
    if (folder := project_path(p.init_from)).is_dir():
        try:
            discriminator.load_state_dict(checkpoints.load_state(folder, device)["discriminator"])
        except RuntimeError:
            raise ParamsError(
                f"init_from = {p.init_from!r}: its discriminator is not of discriminator = {p.discriminator!r} and "
                f"discriminator_width = {p.discriminator_width}; name its generator.safetensors to begin with a new one"
            ) from None
    return generator, discriminator


def weights_file(init_from: str) -> Path:
    """The file of ``init_from``: its path, or the generator's file in a checkpoint's folder."""
    path = project_path(init_from)
    return path / "generator.safetensors" if path.is_dir() else path


def mean_file(flow_mean: str) -> Path:
    """The file of ``flow_mean``: of shipped weights by either name, "compact-256" or "compact-256-fidelity"."""
    path = project_path(flow_mean)
    return pretrained.find(flow_mean) or (path / "ema.safetensors" if path.is_dir() else path)
