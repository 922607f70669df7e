"""Pairs (clean, degraded) from a manifest, made during training and identical on every machine.

Crop, flip and resize give the clean face, which is then degraded at that size:

    s = pair_seed(key, epoch, seed)
    clean = frame(image; s)        degraded = recipe.sample(s, grid=image_size).apply(clean)

So the pixels do not depend on the number of workers, the order, or a resumed run. Each pair holds its trace, which
reproduces the pair from the source image.
"""

import signal
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any
from warnings import warn

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch.utils.data import DataLoader, Dataset

from hifacegan_lib.data.manifest import Entry, Manifest
from hifacegan_lib.data.shards import load_stored
from hifacegan_lib.degradations.crop import draw_frame
from hifacegan_lib.degradations.recipes import Recipe, load_recipe, pair_seed
from hifacegan_lib.utils.images import Pixels, load_image

Batch = dict[str, Any]


@dataclass(frozen=True, config={"strict": True})
class LoaderConfig:
    """Parameters of the loader: ``image_size`` in pixels, ``crop_min`` a share of the shorter side.

    Raises:
        ValueError: a value of another type or out of its range; the message names it.
    """

    data_dir: str | Path
    image_size: PositiveInt
    recipe: str | Path
    batch_size: PositiveInt
    crop_min: float = Field(1.0, gt=0, le=1)
    flip_probability: float = Field(0.0, ge=0, le=1)
    seed: NonNegativeInt = 0
    workers: NonNegativeInt = 0


class FaceLoader:
    """Batches of pairs: ``clean``, ``degraded``, float32 N x 3 x H x W in [0, 1]; ``key``, ``trace`` (JSON), N strings.

    The order is that of the keys for ``valid``, and shuffled by (seed, epoch) for ``train``. Iteration gives epoch 0.
    If its images do not fill the last batch, this batch is smaller for ``valid`` and left out for ``train``.
    :meth:`batches` never ends.

    Raises:
        FileNotFoundError, ValueError: no manifest or an invalid one in ``data_dir``; no such recipe or split; too few
            training images for a batch.
    """

    def __init__(self, config: LoaderConfig, split: str) -> None:
        self.config, self.split, entries = config, split, Manifest.load(config.data_dir).files(split)
        self.pairs = FacePairs(entries, config, load_recipe(config.recipe))
        if not len(self):
            raise ValueError(
                f"{config.data_dir}: the {len(entries)} images of {split} do not fill a batch of {config.batch_size}"
            )
        sides = (min(entry.height, entry.width) for entry in entries)
        if small := [side for side in sides if side < config.image_size]:
            warn(
                f"{config.data_dir}: {len(small)} of {len(entries)} images are enlarged to image_size = "
                f"{config.image_size} (smallest side {min(small)}); their clean faces are blurred",
                stacklevel=2,
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.pairs), self.config.batch_size)
        return full + (rest > 0 and self.split == "valid")

    def __iter__(self) -> Iterator[Batch]:
        size, images = self.config.batch_size, len(self.pairs)
        return self._load(self._places(n * size, min(n * size + size, images)) for n in range(len(self)))

    def batches(self, start: int = 0, rank: int = 0, world: int = 1) -> Generator[Batch]:
        """Endless full batches over epochs 0, 1, 2, ..., from batch number ``start``; skipped batches are not decoded.

        Each image is seen once in each epoch; a batch may hold the end of one epoch and the beginning of the next.
        Process ``rank`` of ``world`` processes gets the pairs rank, rank + world, ... of each batch. Call ``close()``
        to end the workers: a notebook's kernel kills workers that still run, and PyTorch reports that as an error.
        """
        if start < 0:
            raise ValueError(f"start = {start}: expected 0 or more")
        if not 0 <= rank < world or self.config.batch_size % world:
            raise ValueError(
                f"rank = {rank}, world = {world}: expected a rank below world, and world to divide the batch of "
                f"{self.config.batch_size}"
            )
        size = self.config.batch_size
        return self._load(self._places(n * size, n * size + size)[rank::world] for n in count(start))

    def _places(self, first: int, end: int) -> list[tuple[int, int]]:
        """The (index, epoch) of images ``first`` to ``end`` - 1 of the sequence of all epochs."""
        images, seed = len(self.pairs), self.config.seed
        places = (divmod(place, images) for place in range(first, end))
        if self.split == "valid":
            return [(place, epoch) for epoch, place in places]
        return [(int(_shuffled(images, seed, epoch)[place]), epoch) for epoch, place in places]

    def _load(self, schedule: Iterable[list[tuple[int, int]]]) -> Generator[Batch]:
        loader = DataLoader(
            self.pairs,
            batch_sampler=schedule,
            num_workers=self.config.workers,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else DataLoader draws from the global generator
        )
        return (batch | {name: _to_float(batch[name]) for name in ("clean", "degraded")} for batch in loader)


@lru_cache(maxsize=2)
def _shuffled(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch's images in training."""
    return np.random.default_rng((seed, epoch)).permutation(images)


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a group; only the loop handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the loader ends its workers by SIGTERM
    cv2.setNumThreads(0)  # workers share the cores, so OpenCV uses no threads of its own


def _to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 -> float32 in [0, 1], in new memory."""
    if torch.cuda.is_available():
        return torch.empty(images.shape, pin_memory=True).copy_(images).div_(255)
    return torch.from_numpy(np.empty(images.shape, np.float32)).copy_(images).div_(255)  # NumPy allocates large pages


class FacePairs(Dataset[Batch]):
    """(index, epoch) -> one pair with images uint8 3 x H x W; bytes are faster to send than floats."""

    def __init__(self, entries: Sequence[Entry], config: LoaderConfig, recipe: Recipe) -> None:
        self.entries, self.config, self.recipe = list(entries), config, recipe

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        index, epoch = place
        entry, c = self.entries[index], self.config
        seed = pair_seed(entry.key, epoch, c.seed)
        source = load_entry(entry)
        height, width = source.shape[:2]
        frame = draw_frame(height, width, c.image_size, c.crop_min, c.flip_probability, seed)
        clean, trace = frame.apply(source), self.recipe.sample(seed, grid=c.image_size).with_frame(frame)
        return {
            "clean": _planes(clean),
            "degraded": _planes(trace.apply(clean)),
            "key": entry.key,
            "trace": trace.to_json(),
        }


def _planes(image: Pixels) -> torch.Tensor:
    """uint8 H x W x 3 -> uint8 3 x H x W."""
    return torch.from_numpy(np.stack(cv2.split(image)))


def load_entry(entry: Entry) -> Pixels:
    """The pixels of an image of a manifest, uint8 H x W x 3: decoded from its file, or read from its shard.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it cannot be decoded, or its size differs from the manifest; or a shard is broken or changed.
    """
    image = load_stored(entry) if entry.stored else load_image(entry.path)
    if image.shape[:2] != (entry.height, entry.width):
        raise ValueError(
            f"{entry.path}: {image.shape[1]} x {image.shape[0]} pixels, the manifest says {entry.width} x "
            f"{entry.height}: the file changed; prepare again with overwrite = true"
        )
    return image
