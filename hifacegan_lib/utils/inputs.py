"""The images that a command reads, and the rule that no command overwrites its own inputs.

Files are compared by device and inode: so a link to an input, or its name in another case, counts as that input.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hifacegan_lib.utils.images import SUFFIXES

Identity = tuple[int, int]
"""Device and inode."""


def images_in(source: Path, out: Path | None = None) -> tuple[list[Path], Path]:
    """List the image files of a file or folder, sorted, and the folder to which their names are relative.

    Args:
        out: folder for the results; if it lies inside ``source``, its images are skipped.
    Raises:
        FileNotFoundError: no such file or folder. ValueError: no image file in it.
    """
    if source.is_file():
        return [source], source.parent
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    root, results = source.resolve(), out.resolve() if out else None
    if results and results != root and results.is_relative_to(root):
        found = [path for path in found if not (root / path.relative_to(source)).is_relative_to(results)]
    if not found:
        raise ValueError(f"{source}: no image file below it ({', '.join(sorted(SUFFIXES))})")
    return found, source


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path] | Mapping[Identity, Path]) -> None:
    """Check that no output is one of the inputs.

    Args:
        inputs: files, or their :func:`identities` for many calls.
    Raises:
        ValueError: an output is an input; the message names both.
    """
    taken = inputs if isinstance(inputs, Mapping) else identities(inputs)
    for path in outputs:
        if path.exists() and (there := taken.get(_identity(path))):
            raise ValueError(f"{path}: the output would replace the input {there}; choose another path")


def check_output(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Check that ``out`` may be written.

    Raises:
        ValueError: it is one of the inputs, or it exists and ``overwrite`` is false.
    """
    refuse_inputs([out], inputs)
    if out.exists() and not overwrite:
        raise ValueError(f"{out}: exists already; --overwrite replaces it")


def identities(files: Iterable[Path]) -> dict[Identity, Path]:
    """The existing files, by device and inode."""
    return {_identity(path): path for path in files if path.exists()}


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino
