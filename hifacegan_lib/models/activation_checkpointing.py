"""Activation checkpointing: keep a layer's inputs, not its intermediate results, and compute these again.

It costs one more forward pass of the layer; the gradients are the same to the bit. Running averages of batch statistics
must not see the batch twice: they stand still during the second pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """``layer(*inputs)``, whose intermediate results are dropped and computed again in the backward pass.

    The layer must draw nothing at random. A plain call where no gradient is recorded.
    """
    if not torch.is_grad_enabled():
        return layer(*inputs)
    return checkpoint(
        layer,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _averages_stand_still(layer)),
    )


@contextmanager
def _averages_stand_still(layer: Callable[..., Tensor]) -> Iterator[None]:
    """Let every norm of the layer move copies of its averages, then give it back its own."""
    norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm2d)] if isinstance(layer, nn.Module) else []
    own = [(norm, name, value) for norm in norms for name, value in norm.named_buffers()]
    for norm, name, value in own:
        setattr(norm, name, value.clone())
    try:
        yield
    finally:
        for norm, name, value in own:
            setattr(norm, name, value)
