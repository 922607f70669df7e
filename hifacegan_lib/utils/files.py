"""Files that are whole or not there at all: written beside their place, flushed, then moved into it.

The one place for atomic writing, hashing and JSON.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A path to write to, with the suffix of ``path``; when the block ends without an error it becomes ``path``.

    Missing folders are made. The file is flushed to the disk before the move. After an error ``path`` is as before and
    nothing else is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(data)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file, whole or not at all."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> Path:
    """Write strict JSON with two spaces a level, whole or not at all.

    Raises:
        ValueError: a number is NaN or infinite. TypeError: a value that JSON does not know.
    """
    return write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises:
        FileNotFoundError: no such file. ValueError: not JSON, or a key comes twice; the message names the file.
    """
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text, UTF-8.

    Raises:
        ValueError: not JSON, or a key comes twice in an object; ``where`` (a file) opens the message.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in set(keys):
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} comes twice")
    return dict(pairs)


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits; read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
