"""A file in the place of downloaded weights; the mark of tests that need the real ones; a network of somebody."""

import hashlib
import os
import re
from pathlib import Path

import pytest
from torch import Tensor, nn

from hifacegan_lib.utils import weight_registry

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def real(*names: str) -> pytest.MarkDecorator:
    """Skips a test whose networks nobody fetched; where `make setup` fetches them and CI requires them, it runs."""
    missing = [name for name in names if not weight_registry.is_present(name)]
    (fetched,) = re.findall(r"^NETWORKS := (.*)$", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    required = os.environ.get("HIFACEGAN_WEIGHTS") == "required" and set(names) <= set(fetched.split())
    skipped = bool(missing) and not required
    return pytest.mark.skipif(skipped, reason=f"`hifacegan weights fetch {' '.join(missing)}`")


def register(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let the registry expect the file that lies at ``weights.path(name)`` now: the arithmetic is the same for any."""
    content = weight_registry.path(name).read_bytes()
    item = weight_registry.REGISTRY[name]._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    patch.setitem(weight_registry.REGISTRY, name, item)


class Smoother(nn.Module):
    """A network that the workbench does not know: "standins:Smoother"."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return (image + 0.1 * self.layers(image)).clamp(0, 1)
