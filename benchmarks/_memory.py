"""Memory, counted and not measured: the loop runs on tensors without numbers, and the bytes of all that are alive at
once are added up. What libraries take for themselves (workspaces, fragments) is not in it.
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
    """Bytes of the tensors that are alive, and the most that there ever were."""

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
    """Tensors made inside have a shape and a place in the ledger, and no numbers; whoever looks at them is told so."""

    whole = copy.deepcopy

    def another(value: Any, *rest: Any) -> Any:
        known = isinstance(value, generator.Generator)
        return generator.Generator(value.config) if known else whole(value, *rest)

    with ExitStack() as stack:
        ledger = stack.enter_context(FakeTensorMode()) and stack.enter_context(Ledger())
        stack.enter_context(mock.patch.object(generator, "_check"))
        stack.enter_context(mock.patch.object(health.FiniteCheck, "note"))
        stack.enter_context(mock.patch.object(state.copy, "deepcopy", another))
        stack.enter_context(mock.patch.object(nn.Module, "to", lambda network, *_, **__: network))  # all is there
        yield ledger
