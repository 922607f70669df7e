"""The files of a batch, and the plan of its outputs: made before the first write.

    images_in     all images below a folder, and all other files, which are named
    plan_stems    no two sources become one file, no output is an input

Files are compared by device and inode: so a link to an input, or its name in another case, counts as that input.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hifacegan_lib.utils.images import SUFFIXES
from hifacegan_lib.utils.item_guard import printable

Identity = tuple[int, int]
"""Device and inode."""
NAMED = 20  # files that are left aside
LISTED = 5  # names in an error


class Sources(NamedTuple):
    """The image files of a folder, sorted; the folder to which names are relative; the other files, left aside."""

    files: list[Path]
    root: Path
    aside: list[Path]

    @property
    def aside_sentence(self) -> str:
        """The files that are left aside, counted by suffix and named; empty if there are none."""
        if not self.aside:
            return ""
        kinds = Counter(path.suffix.lower() or "no suffix" for path in self.aside)
        counted = ", ".join(f"{suffix} {count}" for suffix, count in sorted(kinds.items()))
        named = printable(shortened((path.relative_to(self.root).as_posix() for path in self.aside), NAMED))
        return f"left aside, of a format that is not read here: {len(self.aside)} files ({counted}): {named}"


def images_in(source: Path, out: Path | None = None) -> Sources:
    """The image files of a file or folder.

    Hidden files and folders are skipped. Links to folders are followed, each real folder once.

    Args:
        out: folder for the results; if it lies inside ``source``, its files are skipped.
    Raises:
        FileNotFoundError: no such file or folder. ValueError: no image file in it. OSError: a folder cannot be read.
    """
    if source.is_file():
        return Sources([source], source.parent, [])
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    found = files_below(source, out)
    images = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not images:
        raise ValueError(f"{source}: no image file below it ({', '.join(sorted(SUFFIXES))})")
    return Sources(images, source, [path for path in found if path.suffix.lower() not in SUFFIXES])


def files_by_name(sources: Sources) -> dict[str, Path]:
    """Path below the folder without suffix -> image file.

    Raises:
        ValueError: two images of one name.
    """
    found: dict[str, Path] = {}
    for path in sources.files:
        name = path.relative_to(sources.root).with_suffix("").as_posix()
        if (other := found.setdefault(name, path)) != path:
            raise ValueError(f"{path} and {other.name}: two pictures of one name, which of them counts?")
    return found


def unpaired(here: str, mine: Collection[str], there: str, theirs: Collection[str]) -> str:
    """The names that only one of two sides has, a line for each side; empty if there are none."""
    only = {here: set(mine) - set(theirs), there: set(theirs) - set(mine)}
    lines = [f"  only in {side} ({len(names)}): {shortened(names) or 'none'}" for side, names in only.items()]
    return "\n".join(lines) if any(only.values()) else ""


def shortened(names: Iterable[str], most: int = LISTED) -> str:
    """The first of many names, sorted, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def files_below(root: Path, out: Path | None = None) -> list[Path]:
    """All visible files below a folder, sorted, without those below ``out`` if ``out`` lies inside; see images_in."""
    starts, seen, found = [root], set[Path](), list[Path]()
    results = out.resolve() if out and not root.resolve().is_relative_to(out.resolve()) else None
    for start in starts:  # the list grows: linked folders come after all real folders
        for name, subfolders, names in os.walk(start, onerror=_raise):
            folder, real = Path(name), Path(name).resolve()
            skipped = real in seen or (results is not None and real.is_relative_to(results))
            subfolders[:] = [] if skipped else sorted(part for part in subfolders if not part.startswith("."))
            if not skipped:
                seen.add(real)
                starts += [folder / part for part in subfolders if (folder / part).is_symlink()]
                found += [folder / part for part in names if not part.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def plan_stems(
    sources: Iterable[Path],
    root: Path,
    out: Path,
    outputs: Callable[[Path, Path], Iterable[Path]],
    inputs: Iterable[Path] = (),
) -> dict[Path, Path]:
    """Choose the stem of each source's outputs: ``out/deep/a``, or ``out/deep/a.gif`` where two would be alike.

    Args:
        outputs: (source, stem) -> all files that the source may become.
        inputs: further files that no output may replace.
    Raises:
        ValueError: two sources become one file, or an output is an input; the message names both.
    """
    sources = list(sources)
    whole = {source: out / source.relative_to(root) for source in sources}
    short = {source: set(outputs(source, path.with_suffix(""))) for source, path in whole.items()}
    claims = Counter(path for paths in short.values() for path in paths)
    alone = {source: all(claims[path] == 1 for path in paths) for source, paths in short.items()}
    stems = {source: path.with_suffix("") if alone[source] else path for source, path in whole.items()}
    owners: dict[Path, Path] = {}
    for source, stem in stems.items():
        for path in set(outputs(source, stem)):
            if (other := owners.setdefault(path, source)) != source:
                raise ValueError(f"{other} and {source}: both would become {path}; rename one of them")
    refuse_inputs(owners, [*sources, *inputs])
    return stems


def output_file(source: Path, stem: Path, suffix: str) -> Path:
    """A source's output beside ``stem``: with the source's name if that has the suffix, else the stem's and suffix."""
    return stem.with_name(source.name if source.suffix == suffix else stem.name + suffix)


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
