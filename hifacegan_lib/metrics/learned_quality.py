"""Quality of one picture without a reference, by networks of other programs: torchmetrics and pyiqa.

    clip_iqa   CLIP: nearer to "Good photo." than to "Bad photo." (Wang et al. 2023)         0 to 1, torchmetrics + piq
    arniqa     distortions learned without labels (Agnolucci et al. 2024)                       0 to 1, torchmetrics
    musiq, maniqa, topiq, qalign    trained on opinions of people         0 to 100, 0 to 1, 0 to 1, 1 to 5; pyiqa

Higher is better. pyiqa's licence is non-commercial: the user installs it, nothing here depends on it. Both programs
know where their networks are published; here nothing is downloaded unasked. A network that is not there makes its
metric unavailable, with the command that brings it. Their files are not in the registry, so no sha256 is checked.
"""

import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pkgutil import resolve_name
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hifacegan_lib.metrics.metric import MetricUnavailable, check


class Source(NamedTuple):
    """A network of another program: label, package, class or name there, what pip installs, decimals of its values."""

    label: str
    package: str
    made: str
    install: str
    digits: int = 4

    @property
    def command(self) -> str:
        """Python code that loads the network, and downloads it where it is not there."""
        if self.package == "pyiqa":
            return f"import pyiqa; pyiqa.create_metric('{self.made}')"
        module, _, kind = self.made.rpartition(".")
        return f"from torchmetrics.{module} import {kind}; {kind}()"

    @property
    def words(self) -> str:
        """Program, version and network, for the conditions of an evaluation."""
        return f"{self.package} {installed_version(self.package) or 'is not installed'}, {self.made}"


def installed_version(package: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_OWN = "'hifacegan-workbench[{}]'"
SOURCES = {
    "clip_iqa": Source(
        "CLIP-IQA", "torchmetrics", "multimodal.clip_iqa.CLIPImageQualityAssessment", _OWN.format("metrics,clip")
    ),
    "arniqa": Source("ARNIQA", "torchmetrics", "image.arniqa.ARNIQA", _OWN.format("metrics")),
    "musiq": Source("MUSIQ", "pyiqa", "musiq", "pyiqa", 2),
    "maniqa": Source("MANIQA", "pyiqa", "maniqa", "pyiqa"),
    "topiq": Source("TOPIQ", "pyiqa", "topiq_nr", "pyiqa"),
    "qalign": Source("Q-Align", "pyiqa", "qalign", "pyiqa", 3),
}


class LearnedQuality:
    """Called like the other metrics, but ``clean`` is not used; N values. The network is loaded at the first call.

    Args:
        name: of :data:`SOURCES`.
    Raises (when called):
        MetricUnavailable: the program is not installed, or its network is not there.
    """

    def __init__(self, name: str) -> None:
        self.source = SOURCES[name]
        self._network: nn.Module | None = None

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        check(image, clean)
        if self._network is None:
            self._network = self._load()
        network: Any = self._network.to(image.device)
        with torch.inference_mode():
            values = network.model(image, normalize=True) if self.source == SOURCES["arniqa"] else network(image)
        if self.source == SOURCES["clip_iqa"]:
            network.reset()  # it adds up what it sees
        return values.reshape(len(image)).to(image.dtype)

    def _load(self) -> nn.Module:
        source = self.source
        try:
            # they draw weights before they load them, and tell of their own use of torchvision and of downloads
            with offline(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]), redirect_stderr(StringIO()):
                warnings.simplefilter("ignore")
                if source.package == "pyiqa":
                    return resolve_name("pyiqa:create_metric")(source.made)
                return resolve_name(f"torchmetrics.{source.made}")()
        except ImportError as error:
            raise MetricUnavailable(f"{error}: run `pip install {source.install}`") from None
        except Refused:
            command = f'python -c "{source.command}"'
            raise MetricUnavailable(f"its network is not there; this downloads it: `{command}`") from None


class Refused(Exception):
    """A program wanted to download; no OSError, so that nobody tries again."""


@contextmanager
def offline() -> Iterator[None]:
    """In this thread no address is looked up, so nothing is downloaded.

    Raises:
        Refused: the block tried.
    """
    here, real = threading.get_ident(), socket.getaddrinfo
    tried: list[Any] = []

    def look_up(*given: Any, **named: Any) -> Any:
        if threading.get_ident() != here:
            return real(*given, **named)
        tried.append(given)
        raise Refused

    socket.getaddrinfo = look_up
    try:
        yield
    except Exception as error:
        if tried and not isinstance(error, Refused):
            raise Refused from error
        raise
    finally:
        socket.getaddrinfo = real
