"""One file from the network: resumed where it broke off, checked, and in its place whole or not at all.

The bytes that came lie hidden beside the target, named by the expected sha256. The next call asks the server for the
rest (HTTP Range) and starts again where the server has no parts. Proxies are those of the environment (https_proxy).
"""

import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hifacegan_lib.utils import files

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file at once are up to the user
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 60.0  # seconds without a byte
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class WrongContent(ValueError):
    """A file that differs from its publisher's."""


def download(address: str, target: Path, size: int, sha256: str, progress: bool = True) -> Path:
    """Bring ``address`` to ``target``; a second process that wants the same file waits for the first.

    Args:
        address: http, https, or file.
        size, sha256: what it must be, bytes and 64 hex digits.
    Raises:
        ConnectionError: no server, a refusal, or it breaks off; the bytes that came are kept for the next call.
        WrongContent: something else came; it is deleted.
        OSError: it cannot be written (a full disk); the bytes that came are kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{sha256[:16]}.partial")
    lock = partial.with_suffix(".lock")
    with lock.open("w") as held:
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX)
        if not target.is_file() or content_problem(target, size, sha256):
            try:
                _append(address, partial, size, progress and target.name)
            except _BROKEN as error:
                kept = f"{partial.stat().st_size:,} of {size:,} bytes are kept, the same command goes on"
                raise ConnectionError(
                    f"{address}: cannot be downloaded ({error}); {kept}; or bring the file and save it as {target}"
                ) from None
            if problem := content_problem(partial, size, sha256):
                partial.unlink()
                raise WrongContent(f"{address}: {problem}; nothing was kept")
            partial.replace(target)
    lock.unlink(missing_ok=True)  # on success alone: a process that waited for it finds the target
    return target


def content_problem(path: Path, size: int, sha256: str) -> str:
    """Why a file is not the one that is expected; empty when it is. Reads it whole unless its size tells."""
    if (found := path.stat().st_size) != size:
        return f"damaged or another file: {found:,} bytes, expected {size:,}"
    digest = files.sha256(path)
    return "" if digest == sha256 else f"damaged or another file: its sha256 is {digest}, expected {sha256}"


def _append(address: str, partial: Path, size: int, title: str | bool) -> None:
    """Ask for the bytes that are missing; ``title`` of the progress bar, False: none."""
    with partial.open("ab") as file:
        if (have := file.tell()) >= size:
            return
        request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
        opener = urllib.request.build_opener()  # with the proxies of now: urlopen would keep those of its first call
        with opener.open(request, timeout=TIMEOUT) as answer:
            if answer.status != 206:  # the whole file; None: of a folder
                file.truncate(have := 0)
            bar: dict[str, Any] = {"initial": have, "desc": title, "disable": not title, "unit_divisor": 1024}
            with tqdm.wrapattr(answer, "read", total=size, **bar) as body:
                shutil.copyfileobj(body, file, 1 << 20)
        if file.tell() < size:
            raise ConnectionError("the server ended too early")
