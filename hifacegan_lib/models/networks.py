"""Networks by name, and the checks of a network that is trained: ours, spandrel's, or a class of the reader's own.

    hifacegan              Generator, with GeneratorConfig's values as options
    spandrel:NAFNet        the class NAFNet in spandrel.architectures.NAFNet, its output clipped to [0, 1]
    spandrel:KBNet.KBNet_s the class KBNet_s in spandrel.architectures.KBNet

Every network maps N x 3 x H x W in [0, 1] to the same shape and range. :func:`describe` gives JSON values, from which
:func:`rebuild` builds the same network, but for its weights.
"""

import copy
import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig, clip

OURS, SPANDREL = "hifacegan", "spandrel:"


class SpandrelModel(nn.Module):
    """A network of spandrel with new weights, for training; the gradient passes the clip unchanged.

    Args:
        name: ``spandrel:ARCHITECTURE`` or ``spandrel:ARCHITECTURE.CLASS``.
        options: keyword arguments of its class.
    Raises:
        ImportError: spandrel is not installed. ValueError: no such architecture or class, or no such options.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.name, self.options = name, dict(options)
        kind = _spandrel_class(name)
        try:
            self.network = kind(**options)
        except Exception as error:  # whatever this architecture raises for options that do not fit
            known = list(inspect.signature(kind).parameters)
            raise ValueError(f"{name}: cannot be built with {self.options} ({error}); options: {known}") from None

    def forward(self, image: Tensor) -> Tensor:
        return clip(self.network(image))


def _spandrel_class(name: str) -> type[nn.Module]:
    try:
        architectures = importlib.import_module("spandrel.architectures")
    except ImportError:
        raise ImportError(f"network {name!r} needs spandrel: pip install hifacegan-workbench[zoo]") from None
    module, _, kind = name.removeprefix(SPANDREL).partition(".")
    try:
        found = vars(importlib.import_module(f"{architectures.__name__}.{module}"))
    except ImportError:
        raise ValueError(f"network {name!r}: spandrel has no architecture {module!r}") from None
    classes = {n: c for n, c in found.items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    if (kind or module) not in classes:
        known = ", ".join(f"{SPANDREL}{module}.{n}" for n in classes)
        raise ValueError(f"network {name!r}: no class {kind or module!r}; there are: {known}")
    return classes[kind or module]


def build(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A network with random weights from PyTorch's generator of random numbers.

    Args:
        name: ``hifacegan``, or a name of :class:`SpandrelModel`.
        options: fields of :class:`GeneratorConfig`, or arguments of spandrel's class.
    Raises:
        ImportError: spandrel is not installed. ValueError: the name or an option is unknown.
    """
    if name == OURS:
        return Generator(GeneratorConfig.from_dict(dict(options)))
    if name.startswith(SPANDREL):
        return SpandrelModel(name, options)
    raise ValueError(f"network {name!r}: unknown; expected {OURS} or {SPANDREL}ARCHITECTURE")


def describe(network: nn.Module) -> dict[str, Any]:
    """What :func:`rebuild` needs, as JSON values: of a class that it does not know, the class's name."""
    if type(network) is Generator:
        return {"config": dataclasses.asdict(network.config)}
    found: dict[str, Any] = {"config": None, "class": type(network).__name__}
    if isinstance(network, SpandrelModel):
        found["network"] = {"name": network.name, "options": network.options}
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
    return network.name if isinstance(network, SpandrelModel) else type(network).__name__


def check(network: nn.Module, image: Tensor) -> None:
    """Try a copy of a network in ``eval()``, before it is trained.

    Args:
        image: N x 3 x H x W in [0, 1].
    Warns:
        UserWarning: the network has batch statistics.
    Raises:
        ValueError: it has no parameters, fails, changes the shape, draws NaN, or leaves [0, 1].
    """
    name = f"network {type(network).__name__}"
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError(f"{name}: it has no parameters that can be trained")
    with torch.no_grad(), torch.random.fork_rng([image.device] if image.is_cuda else []):
        drawn = copy.deepcopy(network).eval()(image)
    if not isinstance(drawn, Tensor) or drawn.shape != image.shape:
        got = tuple(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
        raise ValueError(f"{name}: from {tuple(image.shape)} it draws {got}; expected the same shape")
    if broken := drawn.numel() - int(drawn.isfinite().sum()):
        raise ValueError(f"{name}: {broken} of {drawn.numel()} values that it draws are NaN or infinite")
    low, high = (value.item() for value in drawn.aminmax())
    if low < 0 or high > 1:
        raise ValueError(f"{name}: it draws {low:.4g} to {high:.4g}, expected [0, 1]; end its forward by .clamp(0, 1)")
    if norms := [part for part, layer in network.named_modules() if isinstance(layer, _BatchNorm)]:
        warnings.warn(
            f"{name}: {len(norms)} layers ({norms[0]}, ...) keep batch statistics: a face's result depends on its "
            "neighbours in the batch",
            stacklevel=2,
        )
