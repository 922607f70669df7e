"""One process or many: Lightning Fabric starts them, places tensors and talks between them; the loop stays the same.

A batch is a batch, however many share it: process r of R takes pairs r, r + R, ... of each, computes its gradients, and

    gradient = mean over processes        (every loss is a mean over pairs and the shares are equal)

before each step, so that all hold the same weights and one process or eight draw the same curve, up to rounding. The
networks are not wrapped: a step here asks one pass of the generator for both sides' gradients, which the wrapper for
data parallel training cannot follow, and the mean is one line.

    torchrun --nproc-per-node 4 -m hifacegan_lib.cli train ffhq512
"""

import logging
import os
from typing import Any

import torch
from torch import Tensor, nn

from hifacegan_lib.params import ParamsError
from hifacegan_lib.utils.devices import find_device

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def launch(device: str = "auto", precision: str = "float32") -> Any:
    """A started Fabric for this process: alone, or one of those that ``torchrun`` made, on one machine or several.

    Args:
        device: see :func:`pick_device`; under ``torchrun`` each process takes the GPU of its local rank.
        precision: float32, bfloat16 or float16, for autocast.
    Raises:
        ParamsError: the device is not there, or cannot do float16.
    """
    chosen = pick_device(device)
    if precision == "float16" and chosen.type == "cpu":
        raise ParamsError("precision = 'float16': needs a GPU; allowed on the CPU: float32, bfloat16")
    from lightning_fabric import Fabric  # here: it takes seconds, and most of the package never trains

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every start
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


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        ParamsError: the named device is not there.
    """
    return torch.device(find_device(name))


def parts(batch_size: int, world: int, accumulate: int) -> int:
    """Pairs of a batch that one process sees at a time.

    Raises:
        ParamsError: the batch cannot be cut into equal parts.
    """
    size, rest = divmod(batch_size, world * accumulate)
    if rest or not size:
        raise ParamsError(
            f"batch_size = {batch_size}: {world} process{'es' if world > 1 else ''} in {accumulate} part"
            f"{'s' if accumulate > 1 else ''} each need a multiple of {world * accumulate}"
        )
    return size


def average_gradients(fabric: Any, network: nn.Module) -> None:
    """Every process gets the mean of all processes' gradients; nothing happens in one."""
    if fabric.world_size == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def mean_over(fabric: Any, values: Tensor) -> Tensor:
    """Mean of a tensor over the processes."""
    return fabric.all_reduce(values, reduce_op="mean") if fabric.world_size > 1 else values


def any_of(fabric: Any, flag: bool) -> bool:
    """Whether any process says so; all get the same answer."""
    if fabric.world_size == 1:
        return flag
    return bool(fabric.all_reduce(torch.tensor(float(flag), device=fabric.device), reduce_op="sum") > 0)
