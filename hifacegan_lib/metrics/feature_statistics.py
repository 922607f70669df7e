"""Statistics in a file, or a folder of images, with which FID and KID compare restored faces in place of clean ones.

    mu = mean of the features, 2048      sigma = their covariance, 2048 x 2048, with the divisor n - 1

A file ``.npz`` holds both, as pytorch-fid writes them, and beside them the number of images, the network, and the
fingerprint of the folder: the SHA-256 of the lines "name SHA-256-of-the-file", sorted. So statistics of another
network are refused where the file names it. pytorch-fid's own files do not; their features come from the same Inception
of 2015, resized in another way. KID needs each image's features, which no such file holds: it needs the folder.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hifacegan_lib.metrics.fid_kid import FEATURES, NETWORK, Kid, Matrix, fid, fid_to, kid
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.utils.files import atomic, sha256
from hifacegan_lib.utils.images import load_image, to_float
from hifacegan_lib.utils.inputs import images_in
from hifacegan_lib.utils.item_guard import ItemGuard

Extractor = Callable[[Tensor], Tensor]
"""Float RGB, N x 3 x H x W in [0, 1] -> features, N x d."""


class Statistics(NamedTuple):
    """Mean (d) and covariance (d x d) of features; images 0 and empty texts where the file does not say."""

    mean: Matrix
    covariance: Matrix
    images: int = 0
    network: str = ""
    fingerprint: str = ""

    @property
    def words(self) -> str:
        """Count, fingerprint and network, for the conditions of an evaluation."""
        count = f"{self.images} images" if self.images else "number of images unknown"
        named = f", fingerprint {self.fingerprint}" if self.fingerprint else ""
        return f"{count}{named}, {self.network or 'network not named in the file, taken for the same'}"


def fingerprint(folder: Path) -> str:
    """The SHA-256 of the names and contents of a folder's images, 64 hexadecimal digits."""
    lines = sorted(f"{file.relative_to(folder).as_posix()} {sha256(file)}" for file in images_in(folder).files)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def features_of(folder: Path, extractor: Extractor, guard: ItemGuard, device: str | torch.device = "cpu") -> Matrix:
    """Features of all images below a folder, n x d, in the order of their names; images may differ in size.

    Args:
        guard: notes the files that cannot be read.
    Raises:
        MetricUnavailable: the network is not downloaded. ValueError: no image.
    """
    found = []
    for file in tqdm(images_in(folder).files, desc="features", mininterval=1.0):
        picture = None
        with guard.item(file.relative_to(folder), file):
            picture = to_float(load_image(file))[None].to(device)  # 1 x 3 x H x W
        if picture is not None:
            found.append(extractor(picture).cpu().double().numpy())
    return np.concatenate(found) if found else np.empty((0, 0))


def statistics_of(features: Matrix, fingerprint: str = "") -> Statistics:
    """Mean and covariance of Inception's features, n x d.

    Raises:
        ValueError: fewer than two images.
    """
    if len(features) < 2:
        raise ValueError(f"statistics of {len(features)} images: at least two are needed")
    return Statistics(features.mean(0), np.cov(features, rowvar=False), len(features), NETWORK, fingerprint)


def write(file: Path, found: Statistics) -> Path:
    """Write statistics as a file ``.npz``, atomically."""
    mean, covariance, images, network, fingerprint = found
    with atomic(file) as partial:
        np.savez(partial, mu=mean, sigma=covariance, count=images, network=network, fingerprint=fingerprint)
    return file


def read(file: Path) -> Statistics:
    """Statistics from a file ``.npz`` with ``mu`` and ``sigma``.

    Raises:
        FileNotFoundError: no such file. ValueError: not such a file, or of other features; the message names it.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            known = {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: no such file or folder; expected a .npz of mu and sigma, or images") from None
    except (ValueError, TypeError, EOFError, OSError, BadZipFile) as error:
        raise ValueError(f"{file}: expected a .npz file with mu and sigma ({error})") from None
    if missing := {"mu", "sigma"} - set(known):
        raise ValueError(f"{file}: no {min(missing)} in it; found: {', '.join(known) or 'nothing'}")
    mean, covariance = (np.asarray(known[name], np.float64) for name in ("mu", "sigma"))
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        shapes = f"mu {mean.shape}, sigma {covariance.shape}"
        raise ValueError(f"{file}: {shapes}: statistics of other features; expected {FEATURES} of {NETWORK}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{file}: mu or sigma is not finite")
    network, mark = (str(known.get(key, "")) for key in ("network", "fingerprint"))
    if network not in ("", NETWORK):
        raise ValueError(f"{file}: statistics of another network: {network!r}; expected {NETWORK!r}")
    return Statistics(mean, covariance, int(known.get("count", 0)), network, mark)


class Target:
    """Statistics in a file, or a folder of images, whose features are computed at the first distance.

    Raises:
        FileNotFoundError: no such file or folder. ValueError: no image in the folder, or a file of another kind.
    """

    def __init__(self, source: str | Path, extractor: Extractor) -> None:
        self.source, self._extractor = Path(source), extractor
        self._file = None if self.source.is_dir() else read(self.source)
        mark = f"sha256 {sha256(self.source)}, {self._file.words}" if self._file else ""
        self.words = f"against {self.source.name} ({mark or f'fingerprint {fingerprint(self.source)}'})"

    @cached_property
    def _features(self) -> Matrix:
        guard = ItemGuard()
        found = features_of(self.source, self._extractor, guard, getattr(self._extractor, "device", "cpu"))
        if guard.failed:
            raise MetricUnavailable(f"{self.source}: {len(guard.failed)} unreadable: {guard.sentences[0]}")
        return found

    def fid(self, features: Matrix) -> float:
        """FID of features, n x 2048, against the file or folder."""
        return fid_to(features, *self._file[:2]) if self._file else fid(features, self._features)

    def kid(self, features: Matrix) -> Kid:
        """KID of features, n x 2048, against the folder.

        Raises:
            MetricUnavailable: there is a file, which holds no features.
        """
        if self._file:
            name = self.source.name
            raise MetricUnavailable(f"KID needs the features of each image: name the folder in place of {name}")
        return kid(features, self._features)
