"""Batches from workers to the training loop, as bytes in reused shared memory.

PyTorch's own transfer of float batches allocates new shared memory for each batch, and its page faults take as long as
much of the degradation. So each worker fills three blocks in turn, which exist as long as the loader. The loop copies a
block to floats at once. A worker is at most two batches ahead, so the third block is always free.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

AHEAD = 2  # batches that a worker prepares in advance: the loader's prefetch_factor
IMAGES = ("clean", "degraded")


class SharedBatches:
    """Collates pairs of uint8 3 x size x size; :meth:`take` converts a batch to float32 in [0, 1]."""

    def __init__(self, workers: int, batch_size: int, size: int) -> None:
        shape = (workers, AHEAD + 1, len(IMAGES), batch_size, 3, size, size)
        self.blocks = torch.empty(shape, dtype=torch.uint8).share_memory_()
        self.filled = 0  # batches of this worker

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """In the worker: copy the images into its next block and send the other values."""
        rest = {name: [pair[name] for pair in pairs] for name in pairs[0] if name not in IMAGES}
        worker = get_worker_info()
        if worker is None:
            return rest | {name: torch.stack([pair[name] for pair in pairs]) for name in IMAGES}
        block = (worker.id, self.filled % (AHEAD + 1))
        self.filled += 1
        for name, images in zip(IMAGES, self.blocks[block], strict=True):
            torch.stack([pair[name] for pair in pairs], out=images[: len(pairs)])
        return rest | {"block": (block, len(pairs))}

    def take(self, batch: dict[str, Any]) -> dict[str, Any]:
        """In the loop, before the next batch: the batch with its images as float32 N x 3 x size x size."""
        if "block" in batch:
            block, number = batch.pop("block")
            batch |= {name: images[:number] for name, images in zip(IMAGES, self.blocks[block], strict=True)}
        return batch | {name: _to_float(batch[name]) for name in IMAGES}


def _to_float(images: torch.Tensor) -> torch.Tensor:
    if torch.cuda.is_available():
        return torch.empty(images.shape, pin_memory=True).copy_(images).div_(255)
    return torch.from_numpy(np.empty(images.shape, np.float32)).copy_(images).div_(255)  # NumPy allocates large pages
