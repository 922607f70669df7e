"""The scored pictures of an evaluation, kept in its folder: to look at, to compare, to score again by other rules.

    pictures/COLUMN/KEY.png     a column is "degraded", a method's name or "clean"
    pictures.json               column -> key -> path, relative to the folder, so that a whole tree can be moved

``hifacegan compare`` and docs/protocols.py read them.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from torch import Tensor

from hifacegan_lib.utils.files import read_json, relative_path, write_json
from hifacegan_lib.utils.images import Pixels, load_image, save_image, to_uint8

INDEX = "pictures.json"


def remove(folder: str | Path) -> None:
    """Remove the pictures that an earlier evaluation kept in ``folder``."""
    shutil.rmtree(Path(folder) / "pictures", ignore_errors=True)
    (Path(folder) / INDEX).unlink(missing_ok=True)


class PictureWriter:
    """Keeps pictures in ``folder``; a block that ends without an error replaces those of an earlier evaluation."""

    def __init__(self, folder: str | Path) -> None:
        self.folder, self._aside = Path(folder), Path(folder) / ".pictures.partial"
        self._files: dict[str, dict[str, Path]] = {}
        self._taken: set[Path] = set()

    def __enter__(self) -> Self:
        shutil.rmtree(self._aside, ignore_errors=True)
        return self

    def write(self, keys: Sequence[str], faces: Mapping[str, Iterable[Tensor]]) -> None:
        """Write N pictures of each column, 3 x H x W in [0, 1]; beside ``a.jpg``, ``a.png`` becomes ``a.png.png``."""
        for column, images in faces.items():
            for key, image in zip(keys, images, strict=True):
                place = (Path(column) / key).with_suffix(".png")
                while place in self._taken:
                    place = place.with_name(f"{place.name}.png")
                self._taken.add(place)
                save_image(self._aside / place, to_uint8(image))
                self._files.setdefault(column, {})[key] = self.folder / "pictures" / place

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._files:
            remove(self.folder)
            self._aside.replace(self.folder / "pictures")
            write_index(self.folder, self._files)
        shutil.rmtree(self._aside, ignore_errors=True)


def write_index(folder: str | Path, files: Mapping[str, Mapping[str, Path]]) -> None:
    """Write pictures.json: column -> key -> image file, wherever it lies."""
    index = {
        column: {key: relative_path(path, folder) for key, path in paths.items()} for column, paths in files.items()
    }
    write_json(Path(folder) / INDEX, index)


def read_picture(folder: str | Path, column: str, key: str) -> Pixels | None:
    """One picture, uint8 H x W x 3; None where it was not kept, or is there no more.

    Raises:
        ValueError: the file is no image.
    """
    index = Path(folder) / INDEX
    file = read_json(index).get(column, {}).get(key) if index.exists() else None
    path = Path(folder) / file if file else None  # an absolute path stays as it is
    return load_image(path) if path and path.exists() else None
