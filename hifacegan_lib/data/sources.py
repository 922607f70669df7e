"""Sources of clean faces: drawn from seeds, listed in a folder, or streamed from the Hugging Face hub.

Each source gives a *pool*: key -> image file. The key determines the split and the seed of the damage. The source
``folder`` lists existing files; the other sources write image files.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hifacegan_lib.data.checks import add_check, check_face, stamp
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.utils.images import SUFFIXES, file_suffix, save_image
from hifacegan_lib.utils.inputs import files_below
from hifacegan_lib.utils.item_guard import reason


def list_folder(root: Path, out: Path | None = None) -> dict[str, Path]:
    """List the image files below ``root``: path relative to ``root``, with ``/`` -> file.

    Hidden files and folders are skipped. Symbolic links are followed. Every real file and folder is listed once, by its
    real name if that lies below ``root``: so loops end, and a file with two names appears once.

    Args:
        out: a folder below ``root`` whose files are no sources.
    Raises:
        FileNotFoundError: no such folder, or no image in it.
        OSError: a folder cannot be read.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"source_path = {root}: no such folder")
    files = [path for path in files_below(root, out) if path.suffix.lower() in SUFFIXES]
    taken: dict[str, Path] = {}
    for path in sorted(files, key=Path.is_symlink):
        taken.setdefault(os.path.realpath(path), path)
    if not taken:
        raise FileNotFoundError(f"source_path = {root}: no image below it ({', '.join(sorted(SUFFIXES))})")
    return {path.relative_to(root).as_posix(): path for path in taken.values()}


def matches(key: str, pattern: str) -> bool:
    """Whether a key matches a glob: ``*`` matches within one part of the path, ``**`` any number of parts."""
    return _fits(key.split("/"), pattern.split("/"))


def _fits(parts: list[str], globs: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_fits(parts[taken:], globs[1:]) for taken in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _fits(parts[1:], globs[1:])


def draw_portraits(folder: Path, count: int, size: int, progress: bool = True) -> dict[str, Path]:
    """Draw the portraits of seeds 0 to ``count`` - 1, ``size`` pixels wide, as PNG files in ``folder``."""
    pool = {}
    for number in tqdm(range(count), desc="draw portraits", mininterval=1.0, disable=not progress):
        key = f"portrait_{number:06d}"
        pool[key] = save_image(folder / f"{key}.png", portrait(number, size))
    return pool


def fetch_hub(
    folder: Path,
    count: int,
    name: str,
    split: str,
    column: str,
    source_path: Path | None = None,
    progress: bool = True,
    journal: Path | None = None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Stream images of a Hugging Face dataset into ``folder`` until ``count`` are usable; the bytes are unchanged.

    Args:
        name: dataset on the hub, or ``parquet`` for local files.
        source_path: with ``parquet``, the file or the folder of ``*.parquet`` files.
        journal: file to which the checks of the images are added; see :mod:`hifacegan_lib.data.checks`.
    Returns:
        the pool, with row numbers as keys; and rejected row -> reason.
    Raises:
        ImportError: the ``hub`` extra is not installed.
        ValueError: no such dataset, split or column, or fewer than ``count`` usable rows.
    """
    pool: dict[str, Path] = {}
    rejected: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=count, desc=f"stream {name}", mininterval=1.0, disable=not progress) as bar:
        for number, value in enumerate(_rows(name, split, column, source_path)):
            key = f"row_{number:06d}"
            partial = folder / f"{key}.partial"
            try:
                partial.write_bytes(_image_bytes(value))
            except (ValueError, MemoryError) as error:  # an OSError is the network's or the disk's: ends the stream
                rejected[key] = reason(error, partial)
                continue
            check = check_face(partial)
            if check.error:
                partial.unlink()
                rejected[key] = check.error
                continue
            pool[key] = partial.replace(folder / f"{key}{file_suffix(partial)}")
            if journal:
                add_check(journal, pool[key], stamp(pool[key]), check)
            bar.update()
            if len(pool) == count:
                break
    if len(pool) < count:
        raise ValueError(
            f"dataset_name = {name!r}, split {split!r}: {count} images requested, {len(pool)} are usable "
            f"({len(rejected)} rejected)"
        )
    return pool, rejected


def _image_bytes(value: Any) -> bytes:
    """The bytes of a row's image file: stored in the row, or read from the row's path or URL."""
    import fsspec  # type: ignore[import-untyped]  # comes with datasets

    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise ValueError("the row holds no image")
    if value.get("bytes"):
        return value["bytes"]
    with fsspec.open(value["path"], "rb") as file:
        return file.read()


def _rows(name: str, split: str, column: str, source_path: Path | None) -> Iterator[Any]:
    """The column's values, undecoded, so that a broken image does not end the stream: {"bytes": ..., "path": ...}."""
    try:
        import datasets
    except ImportError:
        raise ImportError("source = 'hub' needs the extra: pip install 'hifacegan-workbench[hub]'") from None
    files = None
    if source_path:
        files = [str(source_path)] if source_path.is_file() else sorted(map(str, source_path.rglob("*.parquet")))
        if not files:
            raise FileNotFoundError(f"source_path = {source_path}: no parquet file in it")
    elif name == "parquet":
        raise ValueError("dataset_name = 'parquet' needs source_path: a parquet file, or a folder with such files")
    try:
        stream = datasets.load_dataset(name, data_files=files, split=split, streaming=True)
    except Exception as error:  # the library and the network raise many kinds of errors
        raise ValueError(f"dataset_name = {name!r}, split {split!r}: {error}") from error
    features = stream.features or stream._resolve_features().features
    if column not in features:
        raise ValueError(f"image_column = {column!r}: no such column; there are: {', '.join(features)}")
    stream = stream.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    return (row[column] for row in stream)
