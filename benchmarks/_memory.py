"""Counted memory: the loop runs on tensors without data, and the bytes of all tensors alive at once are added up.

Memory that libraries allocate for themselves (workspaces, fragments) is not counted.
"""

import copy
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hifacegan_lib.models import generator
from hifacegan_lib.training import health, state


class Ledger(TorchDispatchMode):
    """The bytes of all tensors that are alive, and their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf.untyped_storage())
        return result

    def _enter(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known[key] = weakref.ref(storage, lambda _: self._leave(key, size))
            self.alive += size
            self.peak = max(self.peak, self.alive)

    def _leave(self, key: int, size: int) -> None:
        del self.known[key]
        self.alive -= size


@contextmanager
def without_numbers() -> Iterator[Ledger]:
    """Tensors created inside the block have a shape and are counted, but have no data; reading one is an error."""

    whole = copy.deepcopy

    def another(value: Any, *rest: Any) -> Any:
        known = isinstance(value, generator.Generator)
        return generator.Generator(value.config) if known else whole(value, *rest)

    with ExitStack() as stack:
        ledger = stack.enter_context(FakeTensorMode()) and stack.enter_context(Ledger())
        stack.enter_context(mock.patch.object(generator, "_check"))
        stack.enter_context(mock.patch.object(health.FiniteCheck, "note"))
        stack.enter_context(mock.patch.object(state.copy, "deepcopy", another))
        stack.enter_context(mock.patch.object(nn.Module, "to", lambda network, *_, **__: network))  # nothing is moved
        yield ledger
