"""The images that a command reads, and the rule that no command writes over what it reads.

Files are compared as the file system knows them: a link to an input, or its name in other letters, is that input.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hifacegan_lib.utils.images import SUFFIXES

Identity = tuple[int, int]
"""Device and inode."""


def images_in(source: Path, out: Path | None = None) -> tuple[list[Path], Path]:
    """The image files of a file or folder, sorted, and the folder that their names start from.

    Args:
        out: folder for the results; when it lies inside ``source``, its images are results and are left out.
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
    """Nothing happens when no output is one of the inputs; files that are not there yet are none.

    Args:
        inputs: files, or for many calls :func:`identities` of them.
    Raises:
        ValueError: an output is an input; the message names both.
    """
    taken = inputs if isinstance(inputs, Mapping) else identities(inputs)
    for path in outputs:
        if path.exists() and (there := taken.get(_identity(path))):
            raise ValueError(f"{path}: the output would replace the input {there}; choose another place for it")


def check_output(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Nothing happens when ``out`` may be written: it is no input, and is not there yet unless ``overwrite``.

    Raises:
        ValueError: it may not.
    """
    refuse_inputs([out], inputs)
    if out.exists() and not overwrite:
        raise ValueError(f"{out}: exists already; --overwrite replaces it")


def identities(files: Iterable[Path]) -> dict[Identity, Path]:
    """The files that are there, by device and inode."""
    return {_identity(path): path for path in files if path.exists()}


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino
