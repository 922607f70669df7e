"""Networks by name, and the checks of a network that is trained: ours, spandrel's, or a class of somebody.

    hifacegan              Generator, with GeneratorConfig's values as options
    spandrel:NAFNet        the class NAFNet in spandrel.architectures.NAFNet, its output clipped to [0, 1]
    spandrel:KBNet.KBNet_s the class KBNet_s in spandrel.architectures.KBNet
    my_networks:Smoother   the class Smoother in my_networks, a module that Python can import

Every network maps N x 3 x H x W in [0, 1] to the same shape and range. :func:`describe` gives JSON values, from which
:func:`rebuild` builds the same network, but for its weights.
"""

import copy
import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig, clip

OURS, SPANDREL = "hifacegan", "spandrel:"


class SpandrelModel(nn.Module):
    """A network of spandrel, its output clipped to [0, 1]; the gradient passes the clip unchanged."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return clip(self.network(image))


def _class(name: str) -> type[nn.Module]:
    """The class that a name with a colon names; errors as in :func:`build`."""
    module, _, kind = name.partition(":")
    prefix, reason = f"{module}:", f"cannot import {module!r}; is its folder in PYTHONPATH?"
    if name.startswith(SPANDREL):
        try:
            importlib.import_module("spandrel.architectures")
        except ImportError:
            raise ImportError(f"network {name!r} needs spandrel: pip install hifacegan-workbench[zoo]") from None
        architecture, _, inner = kind.partition(".")
        module, kind = f"spandrel.architectures.{architecture}", inner or architecture
        prefix, reason = f"{SPANDREL}{architecture}.", f"spandrel has no architecture {architecture!r}"
    try:
        found = vars(importlib.import_module(module))
    except ImportError as error:
        raise ValueError(f"network {name!r}: {reason} ({error})") from None
    classes = {n: c for n, c in found.items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    if kind not in classes:
        known = ", ".join(f"{prefix}{n}" for n in classes)
        raise ValueError(f"network {name!r}: no class {kind!r}; there are: {known}")
    return classes[kind]


def build(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A network with random weights from PyTorch's generator of random numbers.

    Args:
        name: ``hifacegan``, ``spandrel:ARCHITECTURE``, ``spandrel:ARCHITECTURE.CLASS`` or ``MODULE:CLASS``.
        options: fields of :class:`GeneratorConfig`, or keyword arguments of the class.
    Raises:
        ImportError: spandrel is not installed. ValueError: the name or an option is unknown.
    """
    if name == OURS:
        return Generator(GeneratorConfig.from_dict(dict(options)))
    if ":" not in name:
        raise ValueError(f"network {name!r}: unknown; expected {OURS}, {SPANDREL}ARCHITECTURE or MODULE:CLASS")
    kind = _class(name)
    try:
        network = kind(**options)
    except Exception as error:  # whatever this class raises for options that do not fit
        known = list(inspect.signature(kind).parameters)
        raise ValueError(f"{name}: cannot be built with {dict(options)} ({error}); options: {known}") from None
    network = SpandrelModel(network) if name.startswith(SPANDREL) else network
    network.built_from = {"name": name, "options": dict(options)}  # type: ignore[assignment]
    return network


def describe(network: nn.Module) -> dict[str, Any]:
    """What :func:`rebuild` needs, as JSON values: of a class that it does not know, the class's name."""
    if type(network) is Generator:
        return {"config": dataclasses.asdict(network.config)}
    found: dict[str, Any] = {"config": None, "class": type(network).__name__}
    if built_from := getattr(network, "built_from", None):
        found["network"] = built_from
    if isinstance(network, Flow):
        settings = {name: getattr(network, name) for name in ("sigma", "steps", "seed")}
        found["flow"] = {**settings, "mean": describe(network.mean), "network": describe(network.network)}
    return found


def rebuild(description: Mapping[str, Any], own: nn.Module | None = None) -> nn.Module:
    """The network of a description of :func:`describe`.

    Args:
        own: takes the place of a network of its class: the whole, or the trained network of a flow.
    Raises:
        ImportError: spandrel is not installed. ValueError: the class is unknown, and ``own`` is of another class.
    """
    kind = description.get("class", Generator.__name__)
    if own is not None and kind == type(own).__name__:
        return own
    if "flow" in description:
        given = dict(description["flow"])
        return Flow(rebuild(given.pop("mean")), rebuild(given.pop("network"), own), **given)
    if own is not None:
        raise ValueError(f"weights of the class {kind!r}, expected {type(own).__name__!r}")
    if "network" in description:
        return build(**description["network"])
    if kind != Generator.__name__:
        raise ValueError(f"weights of the class {kind!r}; expected network={kind}(...), to load them into")
    return build(OURS, description["config"])


def title(network: nn.Module) -> str:
    """What the network is, in a few words: for a flow, with its steps."""
    if isinstance(network, Flow):
        return f"{title(network.network)}, a flow in {network.steps} steps from {title(network.mean)}"
    if isinstance(network, Generator):
        return "HiFaceGAN, this workbench's"
    return getattr(network, "built_from", {}).get("name", type(network).__name__)


def check(network: nn.Module, image: Tensor) -> None:
    """Try a copy of a network in ``eval()``, before it is trained.

    Args:
        image: N x 3 x H x W in [0, 1].
    Raises:
        ValueError: it has no parameters, fails, changes the shape, draws NaN, or leaves [0, 1].
    """
    name = f"network {title(network)}"
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError(f"{name}: it has no parameters that can be trained")
    try:
        with torch.no_grad(), torch.random.fork_rng([image.device] if image.is_cuda else []):
            drawn = copy.deepcopy(network).eval()(image)
    except Exception as error:  # whatever the class of somebody raises
        raise ValueError(f"{name}: it fails on faces of {tuple(image.shape)}: {error}") from error
    if not isinstance(drawn, Tensor) or drawn.shape != image.shape:
        got = tuple(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
        raise ValueError(f"{name}: from {tuple(image.shape)} it draws {got}; expected the same shape")
    if broken := drawn.numel() - int(drawn.isfinite().sum()):
        raise ValueError(f"{name}: {broken} of {drawn.numel()} values that it draws are NaN or infinite")
    check_range(network, drawn)


def check_range(network: nn.Module, drawn: Tensor) -> None:
    """ValueError if faces that a network drew leave [0, 1]."""
    low, high = (value.item() for value in drawn.aminmax())
    if low < 0 or high > 1:
        raise ValueError(
            f"network {title(network)}: it draws {low:.4g} to {high:.4g}, expected [0, 1]; "
            "end its forward by .clamp(0, 1)"
        )


def batch_statistics(network: nn.Module) -> str:
    """A warning, if layers keep batch statistics; else empty."""
    norms = [part for part, layer in network.named_modules() if isinstance(layer, _BatchNorm)]
    if not norms:
        return ""
    return (
        f"network {title(network)}: {len(norms)} layers ({norms[0]}, ...) keep batch statistics: "
        "a face's result depends on its neighbours in the batch"
    )
