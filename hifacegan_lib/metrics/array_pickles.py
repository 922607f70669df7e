"""Read a pickle that may hold NumPy arrays, dictionaries, lists, numbers and text, and nothing else.

A pickle names functions that the reader calls. Here three names are known, those that build an array; a file with any
other name is refused before anything of it runs.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"),  # NumPy 1's name
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only NumPy arrays are allowed")
        return getattr(np, name) if module == "numpy" else _reconstruct


def _reconstruct(kind: type, shape: tuple[int, ...], letter: bytes) -> np.ndarray:
    """An empty array, which the pickle's next words fill; of NumPy's own class, never of a subclass."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of class {kind!r}; only NumPy arrays are allowed")
    return np.ndarray(shape, np.dtype(letter.decode()))


def read(file: str | Path) -> Any:
    """The content of a pickle of arrays.

    Raises:
        ValueError: the file is no such pickle; the message names it.
    """
    try:
        return _Arrays(io.BytesIO(Path(file).read_bytes())).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"{file}: no pickle of NumPy arrays ({type(error).__name__}: {error})") from None
