"""Weights that others publish: what they are for, where they come from, whether the file on disk is the right one.

Nothing is downloaded unless asked: ``hifacegan weights fetch NAME``. Files lie where torchvision and lpips look for
them, ``TORCH_HOME/hub/checkpoints``. Their publisher writes the first eight hex digits of the sha256 into the file's
name and no more of it, so ``sha256_prefix`` is what can be checked: it finds damage, it does not stop a forger.
"""

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm


class Weights(NamedTuple):
    """A published file. ``megabytes`` counts 2^20 bytes."""

    address: str
    megabytes: int
    sha256_prefix: str
    licence: str
    purpose: str

    @property
    def file(self) -> str:
        """Its name, there and here."""
        return self.address.rpartition("/")[2]


_IMAGENET = "code BSD-3-Clause; trained on ImageNet, whose terms are non-commercial research"

REGISTRY: dict[str, Weights] = {
    "alexnet": Weights(
        address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        megabytes=233,
        sha256_prefix="7be5be79",
        licence=_IMAGENET,
        purpose="LPIPS in evaluation",
    ),
    "vgg19": Weights(
        address="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        megabytes=548,
        sha256_prefix="dcbb9e9d",
        licence=_IMAGENET,
        purpose="perceptual loss in training",
    ),
}


class MissingWeights(FileNotFoundError):
    """Weights that have not been downloaded; the message names the command that gets them."""


def path(name: str) -> Path:
    """Where ``name`` lies, or would lie, on disk."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _published(name).file


def is_present(name: str) -> bool:
    """Whether there is such a file; :func:`verify` reads it."""
    return path(name).is_file()


def require(name: str) -> Path:
    """The file of ``name``.

    Raises:
        MissingWeights: it is not there.
    """
    if not is_present(name):
        item = _published(name)
        raise MissingWeights(
            f"{item.file} ({item.megabytes} MB, {item.purpose}) is not in torch's cache: "
            f"run `hifacegan weights fetch {name}`"
        )
    return path(name)


def verify(name: str) -> Path:
    """The file of ``name``, after reading it whole.

    Raises:
        MissingWeights: it is not there.
        ValueError: its sha256 begins otherwise than its publisher says.
    """
    file = require(name)
    with file.open("rb") as content:
        _compare(name, hashlib.file_digest(content, "sha256").hexdigest(), str(file))
    return file


def fetch(name: str, progress: bool = True) -> Path:
    """Download ``name``, unless the right file is there already; the file appears whole and checked, or not at all.

    Raises:
        ConnectionError: the server cannot be reached, refuses, or breaks off.
        ValueError: no such name, or what came is not what the publisher says.
    """
    target, address = path(name), _published(name).address
    with contextlib.suppress(MissingWeights, ValueError):
        return verify(name)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _compare(name, _download(address, partial, progress), address)
        partial.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"{address}: cannot be downloaded ({error}); try again, or bring the file and save it as {target}"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def command(action: str, names: Sequence[str]) -> int:
    """What ``hifacegan weights`` prints; its exit code."""
    if action == "fetch":
        if not names:
            raise ValueError(f"weights fetch: name at least one of {', '.join(REGISTRY)}")
        for name in names:
            print(f"{name}: {fetch(name)}")
        return 0
    bad = 0
    for name in names or REGISTRY:
        item, state = _published(name), "there" if is_present(name) else "missing"
        if action == "verify":
            state = _state(name)
            bad += state == "damaged" or (state == "missing" and bool(names))
        print(f"{name:8}  {state:7}  {item.megabytes:4} MB  for {item.purpose}")
        print(f"{'':10}{item.licence}\n{'':10}{path(name)}")
    return 1 if bad else 0


def _state(name: str) -> str:
    try:
        verify(name)
    except MissingWeights:
        return "missing"
    except ValueError:
        return "damaged"
    return "right"


def _published(name: str) -> Weights:
    if name not in REGISTRY:
        raise ValueError(f"weights '{name}': unknown; there are: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def _compare(name: str, sha256: str, where: str) -> None:
    prefix = _published(name).sha256_prefix
    if not sha256.startswith(prefix):
        found = sha256[: len(prefix)]
        raise ValueError(f"{where}: damaged or another file: its sha256 begins with {found}, expected {prefix}")


def _download(address: str, target: Path, progress: bool) -> str:
    """Stream ``address`` into ``target``; the sha256 of what came."""
    digest, count = hashlib.sha256(), 0
    with _open(address) as answer, target.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        title = address.rpartition("/")[2]
        with tqdm(total=total or None, unit="B", unit_scale=True, desc=title, disable=not progress) as bar:
            while chunk := answer.read(1 << 20):
                file.write(chunk)
                digest.update(chunk)
                count += len(chunk)
                bar.update(len(chunk))
    if count < total:
        raise ConnectionError(f"broke off after {count} of {total} bytes")
    return digest.hexdigest()


def _open(address: str) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(address, timeout=60)
    except urllib.error.HTTPError as error:
        error.close()  # the answer that it holds is an open connection
        raise ConnectionError(f"the server answers {error.code} {error.reason}") from None
