"""Mirrors: shards at an address (http, s3, any of fsspec), copied to this machine one by one when a face is read.

The folder of a mirror is named by the content of its manifest. So a mirror never mixes two versions of the data, all
processes of a machine share it, and after the first epoch nothing is transferred.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from hifacegan_lib.utils.files import atomic, write_bytes, write_text

NAME = "manifest.json"
ORIGIN = "origin.txt"
"""The file with the address, in the folder of a mirror."""


def is_address(data_dir: str | Path) -> bool:
    """Whether ``data_dir`` is an address such as s3://bucket/faces, and no folder."""
    return "://" in str(data_dir)


@lru_cache
def mirrored(address: str, cache: Path) -> Path:
    """The folder of this machine for the shards at ``address``, with their manifest; below ``cache``.

    Raises:
        FileNotFoundError: no manifest at the address. ImportError: fsspec needs another package for this address.
        OSError: the server cannot be reached, or refuses.
    """
    address = address.rstrip("/")
    text = _ask(address, NAME, lambda system, path: system.cat_file(path))
    folder = cache / hashlib.sha256(text).hexdigest()[:16]
    write_bytes(folder / NAME, text)
    write_text(folder / ORIGIN, address)
    return folder


def origin(path: Path) -> str:
    """The address of a shard of a mirror; empty for another file."""
    told = path.parent / ORIGIN
    return f"{told.read_text(encoding='utf-8')}/{path.name}" if told.is_file() else ""


def local_shard(path: Path) -> Path:
    """The shard, copied from its origin if it is not here yet.

    Raises:
        FileNotFoundError: neither here nor at its origin; the message names it. OSError: as :func:`mirrored`.
    """
    if path.is_file():
        return path
    if not (address := origin(path).removesuffix(f"/{path.name}")):
        raise FileNotFoundError(f"{path}: no such shard; copy it there, or write the shards again")
    with FileLock(path.with_name(f".{path.name}.lock")):  # one process copies, the others wait
        if not path.is_file():
            with atomic(path) as partial:
                _ask(address, path.name, lambda system, remote: system.get_file(remote, str(partial)))
    return path


def _ask(address: str, name: str, call: Callable[[Any, str], Any]) -> Any:
    """``call`` of fsspec's file system and the path of a file at the address."""
    import fsspec  # type: ignore[import-untyped]

    try:
        system, folder = fsspec.core.url_to_fs(address)
        return call(system, f"{folder}/{name}")
    except FileNotFoundError:
        raise FileNotFoundError(f"{address}/{name}: no such file") from None
    except ImportError as error:
        raise ImportError(f"{address}: {error} (s3: pip install 'hifacegan-workbench[s3]')") from None
    except Exception as error:  # each file system has errors of its own
        raise OSError(f"{address}/{name}: {error or type(error).__name__}") from error
