"""The scored pictures of an evaluation, kept in its folder: to look at, to compare, to score again by other rules.

    pictures/COLUMN/KEY.png     a column is "degraded", a method's name or "clean"
    pictures.json               column -> key -> path, relative to the folder, so that a whole tree can be moved

``hifacegan compare`` and docs/protocols.py read them.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hifacegan_lib.utils.files import read_json, write_json
from hifacegan_lib.utils.images import Pixels, load_image, save_image

INDEX = "pictures.json"


def remove(folder: str | Path) -> None:
    """Remove the pictures that an earlier evaluation kept in ``folder``."""
    shutil.rmtree(Path(folder) / "pictures", ignore_errors=True)
    (Path(folder) / INDEX).unlink(missing_ok=True)


def keep(folder: str | Path, column: str, key: str, face: Pixels) -> Path:
    """Write one picture, uint8 H x W x 3, for :func:`write_index`."""
    return save_image((Path(folder) / "pictures" / column / key).with_suffix(".png"), face)


def write_index(folder: str | Path, files: Mapping[str, Mapping[str, Path]]) -> None:
    """Write pictures.json: column -> key -> image file, wherever it lies."""
    index = {
        column: {key: _relative(path, Path(folder)) for key, path in paths.items()} for column, paths in files.items()
    }
    write_json(Path(folder) / INDEX, index)


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()


def read_picture(folder: str | Path, column: str, key: str) -> Pixels | None:
    """One picture, uint8 H x W x 3; None where it was not kept, or is there no more.

    Raises:
        ValueError: the file is no image.
    """
    index = Path(folder) / INDEX
    file = read_json(index).get(column, {}).get(key) if index.exists() else None
    path = Path(folder) / file if file else None  # an absolute path stays as it is
    return load_image(path) if path and path.exists() else None
