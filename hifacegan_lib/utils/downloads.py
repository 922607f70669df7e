"""Download one file: an interrupted download is resumed, and only a complete and checked file takes its place.

The received bytes lie in a hidden file beside the target, named by the expected sha256. The next call asks the server
for the rest (HTTP Range), and starts again if the server does not support ranges. https_proxy and no_proxy apply.
"""

import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from hifacegan_lib.utils import files

TIMEOUT = 60.0  # seconds without a byte
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class WrongContent(ValueError):
    """The file differs from the published file."""


def download(address: str, target: Path, size: int, sha256: str, progress: bool = True) -> Path:
    """Download ``address`` to ``target``; a second process that downloads the same file waits for the first.

    Args:
        address: an http, https or file URL.
        size, sha256: the expected size in bytes and the expected SHA-256, 64 hex digits.
    Raises:
        ConnectionError: no connection, an HTTP error, or an interruption; received bytes are kept for the next call.
        WrongContent: the file has another size or sha256; it is deleted.
        OSError: the file cannot be written (for example a full disk); received bytes are kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{sha256[:16]}.partial")
    lock = partial.with_suffix(".lock")
    with FileLock(lock):
        if not target.is_file() or content_problem(target, size, sha256):
            try:
                _append(address, partial, size, progress and target.name)
            except _BROKEN as error:
                kept = f"{partial.stat().st_size:,} of {size:,} bytes are kept, the same command resumes"
                raise ConnectionError(
                    f"{address}: cannot be downloaded ({error}); {kept}; or copy the file to {target}"
                ) from None
            if problem := content_problem(partial, size, sha256):
                partial.unlink()
                raise WrongContent(f"{address}: {problem}; the download was deleted")
            partial.replace(target)
    lock.unlink(missing_ok=True)  # only after success: a waiting process then finds the target
    return target


def content_problem(path: Path, size: int, sha256: str) -> str:
    """The difference of a file from the expected size and sha256 as a sentence; empty if there is none."""
    if (found := path.stat().st_size) != size:
        return f"damaged or wrong file: {found:,} bytes, expected {size:,}"
    digest = files.sha256(path)
    return "" if digest == sha256 else f"damaged or wrong file: its sha256 is {digest}, expected {sha256}"


def _append(address: str, partial: Path, size: int, title: str | bool) -> None:
    """Download the missing bytes; ``title`` is that of the progress bar, False hides the bar."""
    with partial.open("ab") as file:
        if (have := file.tell()) >= size:
            return
        request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
        opener = urllib.request.build_opener()  # reads the proxies anew; urlopen keeps those of its first call
        with opener.open(request, timeout=TIMEOUT) as answer:
            if answer.status != 206:  # the server sends the whole file; the status of a file URL is None
                file.truncate(have := 0)
            bar: dict[str, Any] = {"initial": have, "desc": title, "disable": not title, "unit_divisor": 1024}
            with tqdm.wrapattr(answer, "read", total=size, **bar) as body:
                shutil.copyfileobj(body, file, 1 << 20)
        if file.tell() < size:
            raise ConnectionError("the server closed the connection too early")
