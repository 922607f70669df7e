"""One file from the network: resumed where it broke off, checked, and in its place whole or not at all.

What has come lies hidden beside the target, named by the sha256 that is expected. The next call asks the server for the
rest (HTTP Range) and takes the whole where it will not give a part. Size and hash are compared when the last byte is
there; only then the file gets its name. Proxies are those of the environment (https_proxy, no_proxy).
"""

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file at once are up to the user
    fcntl = None  # type: ignore[assignment]

TRIES, WAIT = 4, 1.0  # of a connection that breaks off; seconds before the second, doubled each time
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 20
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class WrongContent(ValueError):
    """What came, or what lies there, is not what its publisher says."""


def download(
    address: str,
    target: Path,
    size: int,
    sha256: str,
    progress: bool = True,
    sleep: Callable[[float], object] = time.sleep,
) -> Path:
    """Bring ``address`` to ``target``.

    Args:
        address: http or https.
        size, sha256: what it must be, bytes and 64 hex digits.
        sleep: waits between tries, seconds.
    Raises:
        ConnectionError: no server, a refusal, or it breaks off again and again; what came is kept for the next call.
        WrongContent: something else came; it is deleted.
        OSError: it cannot be written (a full disk); what came is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{sha256[:16]}.partial")
    with (
        _alone(partial.with_suffix(".lock")),
        tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024, desc=target.name, disable=not progress) as bar,
    ):
        for attempt in range(TRIES):
            try:
                _fill(address, partial, size, bar)
                break
            except _BROKEN as error:
                if attempt == TRIES - 1 or _refused(error):
                    raise ConnectionError(_broken(address, target, partial, size, error)) from None
                sleep(WAIT * 2**attempt)
        problem = content_problem(partial, size, sha256)
        if problem:
            partial.unlink()
            raise WrongContent(f"{address}: {problem}; nothing was kept")
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    return target


def content_problem(path: Path, size: int, sha256: str) -> str:
    """Why a file is not the one that is expected, in words; empty when it is. Reads it whole unless its size tells."""
    found = path.stat().st_size
    if found != size:
        return f"damaged or another file: {found:,} bytes, expected {size:,}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if digest == sha256 else f"damaged or another file: its sha256 is {digest}, expected {sha256}"


def _fill(address: str, partial: Path, size: int, bar: "tqdm[Any]") -> None:
    """Append what is missing; a server that sends the whole again starts it over."""
    have = partial.stat().st_size if partial.exists() else 0
    if have > size:
        partial.unlink()
        have = 0
    bar.reset(total=size)
    bar.update(have)
    if have == size:
        return
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    with _open(request) as answer:
        begins = f"bytes {have}-"
        resumes = answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(begins)
        if have and not resumes:
            have = 0
            bar.reset(total=size)
        with partial.open("r+b" if have else "wb") as file:
            file.seek(have)
            while have <= size and (chunk := answer.read(CHUNK)):  # one byte too many is enough to know
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if have < size:
        raise ConnectionError("the server ended too early")


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    opener = urllib.request.build_opener()  # with the proxies of now: urlopen would keep those of its first call
    try:
        return opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # the answer that it holds is an open connection
        if error.code == 416:  # it has no such part: what came before was of another file
            return opener.open(request.full_url, timeout=TIMEOUT)
        raise


def _refused(error: BaseException) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code < 500


def _broken(address: str, target: Path, partial: Path, size: int, error: BaseException) -> str:
    have = partial.stat().st_size if partial.exists() else 0
    if isinstance(error, urllib.error.HTTPError):
        said = f"the server answers {error.code} {error.reason}"
    else:
        said = f"{getattr(error, 'reason', None) or error or type(error).__name__}"
    kept = f"{have:,} of {size:,} bytes are kept, the same command goes on" if have else "nothing came"
    return f"{address}: cannot be downloaded ({said}); {kept}; or bring the file and save it as {target}"


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait for another process that downloads the same file."""
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(lock.open("w"))
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            if lock.exists() and lock.stat().st_ino == os.fstat(file.fileno()).st_ino:
                break  # else who had it before has removed it, and others lock a new one
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
