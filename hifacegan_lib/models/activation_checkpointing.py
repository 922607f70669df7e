"""Activation checkpointing: keep a layer's inputs, and compute its intermediate results again in the backward pass.

It costs one more forward pass of the layer; the gradients are bit-identical. The second pass does not update the
running averages of batch norms, which have seen the batch already.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """``layer(*inputs)``, whose intermediate results are dropped and computed again in the backward pass.

    The layer must not use random numbers. Without gradient recording this is a plain call.
    """
    if not torch.is_grad_enabled():
        return layer(*inputs)
    return checkpoint(
        layer,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _running_averages_kept(layer)),
    )


@contextmanager
def _running_averages_kept(layer: Callable[..., Tensor]) -> Iterator[None]:
    """Replace the running averages of all batch norms by copies, and put the originals back afterwards."""
    norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm2d)] if isinstance(layer, nn.Module) else []
    originals = [(norm, name, value) for norm in norms for name, value in norm.named_buffers()]
    for norm, name, value in originals:
        setattr(norm, name, value.clone())
    try:
        yield
    finally:
        for norm, name, value in originals:
            setattr(norm, name, value)
