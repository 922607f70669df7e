"""Training in one or several processes with Lightning Fabric; the training loop is the same for both.

Fabric starts the processes, places tensors and communicates between processes. All processes share one batch: process r
of R takes the pairs r, r + R, ... of the batch and computes their gradients. Before each step

    gradient = mean over processes        (every loss is a mean over pairs and the shares are equal)

So all processes have the same weights, and the number of processes changes the loss curve by rounding only. The
networks are not wrapped for data-parallel training: one pass of the generator serves the gradients of both networks,
which such a wrapper does not support, and the mean is one line.

    torchrun --nproc-per-node 4 -m hifacegan_lib.cli train ffhq512 -p batch_size 4
"""

import logging
import os
from typing import Any

import torch
from torch import nn

from hifacegan_lib.params import ParamsError
from hifacegan_lib.utils.machine import find_device

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def launch(device: str = "auto", precision: str = "float32") -> Any:
    """A started Fabric for this process, which is the only one or one of those of ``torchrun`` (one or more machines).

    Args:
        device: auto, cpu, cuda, cuda:N or mps; under ``torchrun`` each process takes the GPU of its local rank.
        precision: float32, bfloat16 or float16, for autocast.
    Raises:
        ParamsError: the device is not available, or does not support float16.
    """
    chosen = torch.device(find_device(device))
    if precision == "float16" and chosen.type == "cpu":
        raise ParamsError("precision = 'float16': needs a GPU; allowed on the CPU: float32, bfloat16")
    from lightning_fabric import Fabric  # slow to import, and most of the package does not need it

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would log every start
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    devices: int | list[int] = [chosen.index] if chosen.index is not None else local
    fabric = Fabric(
        accelerator=chosen.type,
        devices=devices,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=PRECISIONS[precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def part_size(batch_size: int, world: int, accumulate: int) -> int:
    """Number of pairs in one forward pass of one process, for ``world`` processes and ``accumulate`` parts.

    Raises:
        ParamsError: the batch cannot be divided into equal parts.
    """
    size, rest = divmod(batch_size, world * accumulate)
    if rest or not size:
        raise ParamsError(
            f"batch_size = {batch_size}: expected a multiple of {world * accumulate}, "
            f"for processes x accumulate = {world} x {accumulate}"
        )
    return size


def average_gradients(fabric: Any, network: nn.Module) -> None:
    """Replace the gradients of every process by their mean over processes."""
    if fabric.world_size == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def any_of(fabric: Any, flag: bool) -> bool:
    """Whether the flag is true in any process; the result is the same in all processes."""
    if fabric.world_size == 1:
        return flag
    return bool(fabric.all_reduce(torch.tensor(float(flag), device=fabric.device), reduce_op="sum") > 0)
