"""Read a pickle that may hold NumPy arrays, dictionaries, lists, numbers and text, and nothing else.

A pickle names functions that its reader calls. This reader knows the few names that build an array, and refuses a file
with any other name before it calls anything. joblib writes an array as a description, a padding and the numbers, all in
the middle of the pickle.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"),  # NumPy 1's name
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
_JOBLIB = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_LZ4 = bytes.fromhex("04224d18")
_reconstruct: Any = np.empty(0).__reduce__()[0]  # NumPy's function for an empty array, whatever its module's name is
_Unpickler: Any = pickle._Unpickler  # the one in Python: joblib's arrays are read in the middle of it


class _Described:
    """joblib's description of an array whose numbers follow."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype


class _Arrays(_Unpickler):
    dispatch = _Unpickler.dispatch.copy()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _JOBLIB:
            return _Described
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only NumPy arrays are allowed")
        return getattr(np, name) if module == "numpy" else _reconstruct

    def load_build(self) -> None:
        super().load_build()
        if isinstance(about := self.stack[-1], _Described):
            if about.dtype.hasobject:
                raise pickle.UnpicklingError("an array of objects; only numbers are allowed")
            self.read(self.read(1)[0])  # the padding: its length, then itself
            numbers = self.read(int(np.prod(about.shape)) * about.dtype.itemsize)
            self.stack[-1] = np.frombuffer(numbers, about.dtype).reshape(about.shape, order=about.order).copy()

    dispatch[pickle.BUILD[0]] = load_build


def read(file: str | Path) -> Any:
    """The content of a pickle of arrays, by pickle or joblib.

    Raises:
        ValueError: the file is no such pickle; the message names it.
    """
    try:
        data = Path(file).read_bytes()
        return _Arrays(io.BytesIO(_stored(data) if data.startswith(_LZ4) else data)).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"{file}: no pickle of NumPy arrays ({type(error).__name__}: {error})") from None


def _stored(data: bytes) -> bytes:
    """The content of an LZ4 frame whose blocks are stored, not compressed, as those of trained weights are.

    Frame: magic, flags, block size, checksum of this header; then blocks, each after its length; a length of 0 ends it.
    """
    if data[4] & 0b1101:  # content size, checksum or dictionary: the header has more bytes
        raise ValueError("an LZ4 frame of another kind")
    place, parts = 7, []
    while length := struct.unpack_from("<I", data, place)[0]:
        if not length >> 31:
            raise ValueError("a compressed LZ4 block; only stored ones are read")
        place, size = place + 4, length & 0x7FFFFFFF
        parts.append(data[place : place + size])
        place += size
    return b"".join(parts)
