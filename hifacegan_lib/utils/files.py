"""Atomic writing, hashing, JSON and journals: a file is written under a temporary name, flushed, then renamed.

So a file at its final path is always complete. A journal grows by lines of JSON; a line that a killed process did not
finish is not read.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path with the suffix of ``path``; it is renamed to ``path`` when the block ends without error.

    Missing folders are created. The file is flushed to the disk before it is renamed. After an error ``path`` is
    unchanged and the temporary file is deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(data)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file atomically. A file name in it may be no UTF-8: such a byte is written as ``\\udcff``."""
    return write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    """UTF-8; a byte of a file name that is no UTF-8 becomes ``\\udcff``, which JSON reads as that byte again."""
    return text.encode("utf-8", "backslashreplace")


def write_json(path: str | Path, value: Any) -> Path:
    """Write strict JSON, indented by two spaces, atomically.

    Raises:
        ValueError: a number is NaN or infinite. TypeError: a value has no form in JSON.
    """
    return write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises:
        FileNotFoundError: no such file. ValueError: not JSON, or a duplicate key; the message names the file.
    """
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text, UTF-8.

    Raises:
        ValueError: not JSON, or an object with a duplicate key; the message begins with ``where`` (a file).
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


def append_line(journal: str | Path, value: Any) -> None:
    """Add a line of JSON to a journal, after the rest of an unfinished line."""
    with Path(journal).open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            file.write(b"" if file.read() == b"\n" else b"\n")
        file.write(encoded(json.dumps(value, ensure_ascii=False) + "\n"))


def read_lines(journal: str | Path) -> Iterator[Any]:
    """The values of a journal's finished lines; none if there is no such file."""
    for line in Path(journal).read_bytes().split(b"\n") if Path(journal).exists() else ():
        with suppress(ValueError):
            yield json.loads(line)


def expanded(path: str | Path) -> Path:
    """The path with the user's folder in place of a first part ``~``; a file may be called ``~a.jpg``."""
    path = Path(path)
    return Path.home().joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


def relative_path(path: str | Path, folder: str | Path) -> str:
    """``path`` relative to ``folder``, so that both can be moved together; absolute on different drives."""
    try:
        return Path(os.path.relpath(Path(path).resolve(), Path(folder).resolve())).as_posix()
    except ValueError:
        return Path(path).resolve().as_posix()


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
