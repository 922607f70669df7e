"""Folders of pictures as pairs: anyone's outputs, scored by the same rules as ours.

Files pair by name: the path below the folder, without its suffix. A name that is in one folder only is an error, which
lists both sides. A pair that cannot be read is counted and listed, the others are scored. Some threads decode files a
little ahead, so memory never holds more than some pictures. Without a reference folder there are no originals: the
pictures are scored alone, or with the restorer's inputs.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hifacegan_lib.utils.images import Pixels, file_suffix, load_image
from hifacegan_lib.utils.inputs import files_by_name, images_in, unpaired
from hifacegan_lib.utils.item_guard import reason

KERNELS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
BATCH, BATCH_PIXELS = 16, 2**22  # pairs of a block, which is one batch or several; most pixels of a column of a batch
AHEAD = 16  # pairs decoded before they are asked for
Faces = dict[str, NDArray[np.float32]]
"""Column -> 3 x H x W in [0, 1]."""
Read = tuple[Faces, list[tuple[str, str]], list[str]]
"""The pictures of a pair, the (column, suffix) of each file, the columns that were resized."""


@dataclass
class FolderPairs:
    """Pairs of files with one name, read again at each iteration.

    Iterating gives batches for :func:`hifacegan_lib.evaluation.scoring.evaluate`: ``key``, N names; ``clean`` and each
    of ``columns``, float32 N x 3 x H x W in [0, 1], one size a batch; ``unreadable``, name -> reason.

    Attributes:
        reference: name -> file of the clean face; empty: there are no originals, and no ``clean``.
        columns: column -> name -> file; the same names in each.
        resize: one of KERNELS, which brings pictures to the clean face's size (without originals: to that of the last
            column). Empty: another size is an error.
        crop: pixels left out at each border, after resizing.
        aside: sentences about files that are no images.
        formats: (column, suffix by content) -> files, of what has been read so far.
        resized: column -> files, of what has been read so far.
    """

    reference: Mapping[str, Path]
    columns: Mapping[str, Mapping[str, Path]]
    resize: str = ""
    crop: int = 0
    aside: Sequence[str] = ()
    formats: Counter[tuple[str, str]] = field(default_factory=Counter)
    resized: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.resize and self.resize not in KERNELS:
            raise ValueError(f"resize = {self.resize!r}: expected one of {', '.join(KERNELS)}")
        if self.crop < 0:
            raise ValueError(f"crop = {self.crop}: expected 0 or more pixels")
        if not self.reference and not self.columns:
            raise ValueError("nothing to evaluate: no folder was named")

    @property
    def files(self) -> dict[str, Mapping[str, Path]]:
        """Every column's files; "reference" comes first, if there is one."""
        return {**({"reference": self.reference} if self.reference else {}), **self.columns}

    @property
    def frame(self) -> str:
        """The column whose size the others take."""
        return "reference" if self.reference else list(self.columns)[-1]

    def __len__(self) -> int:
        """Pairs, whether or not they can be read."""
        return len(self.files[self.frame])

    def blocks(self) -> list["FolderPairs"]:
        """The same pairs in blocks; their batches are those of the whole."""
        names = sorted(self.files[self.frame])

        def part(files: Mapping[str, Path], chosen: Sequence[str]) -> dict[str, Path]:
            return {name: files[name] for name in chosen} if files else {}

        return [
            FolderPairs(
                part(self.reference, chosen),
                {column: part(files, chosen) for column, files in self.columns.items()},
                self.resize,
                self.crop,
            )
            for chosen in (names[start : start + BATCH] for start in range(0, len(names), BATCH))
        ]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.formats.clear()
        self.resized.clear()
        ready: dict[str, Faces] = {}
        unreadable: dict[str, str] = {}
        for number, (name, found) in enumerate(self._read()):
            if (ready or unreadable) and number % BATCH == 0:
                yield self._batch(ready, unreadable)
                ready, unreadable = {}, {}
            if isinstance(found, str):
                unreadable[name] = found
                continue
            faces, formats, resized = found
            self.formats.update(formats)
            self.resized.update(resized)
            shapes = {others[self.frame].shape for others in (*ready.values(), faces)}
            most = max(1, BATCH_PIXELS // faces[self.frame][0].size)
            if len(shapes) > 1 or len(ready) >= most:
                yield self._batch(ready, unreadable)
                ready, unreadable = {}, {}
            ready[name] = faces
        if ready or unreadable:
            yield self._batch(ready, unreadable)

    def _batch(self, ready: dict[str, Faces], unreadable: dict[str, str]) -> dict[str, Any]:
        def stack(column: str) -> torch.Tensor:
            planes = [faces[column] for faces in ready.values()]
            return torch.from_numpy(np.stack(planes)) if planes else torch.empty(0)

        columns = {column: stack(column) for column in self.columns}
        clean = {"clean": stack("reference")} if self.reference else {}
        return {"key": list(ready), **clean, "columns": columns, "unreadable": unreadable}

    def _read(self) -> Iterator[tuple[str, Read | str]]:
        """Each name with its pictures, or with the reason why there are none; in order."""
        names = sorted(self.files[self.frame])
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            ahead = deque(pool.submit(self._pair, name) for name in names[:AHEAD])
            for name, later in zip_longest(names, names[AHEAD:]):
                found = ahead.popleft().result()
                if later:
                    ahead.append(pool.submit(self._pair, later))
                yield name, found

    def _pair(self, name: str) -> Read | str:
        try:
            return self._read_pair({column: files[name] for column, files in self.files.items()})
        except Exception as error:  # MemoryError too: the other pairs are scored
            return reason(error, name)

    def _read_pair(self, files: Mapping[str, Path]) -> Read:
        found, formats = {}, []
        for column, path in files.items():
            try:
                found[column] = load_image(path)
                formats.append((column, file_suffix(path)))
            except MemoryError:
                raise MemoryError(f"{path}: not enough memory") from None
        height, width = found[self.frame].shape[:2]
        resized = [column for column, image in found.items() if image.shape[:2] != (height, width)]
        if resized and not self.resize:
            image, path = found[resized[0]], files[resized[0]]
            raise ValueError(
                f"{path}: {image.shape[1]} x {image.shape[0]} pixels, its {self._side} {width} x {height}; name the "
                f"kernel that brings it to that size (--resize {'|'.join(KERNELS)}): the numbers depend on it"
            )
        for column in resized:
            found[column] = cv2.resize(found[column], (width, height), interpolation=KERNELS[self.resize])
        if 2 * self.crop >= min(height, width):
            raise ValueError(f"{files[self.frame]}: {width} x {height} pixels, crop = {self.crop} leaves nothing")
        inner = slice(self.crop, -self.crop or None)
        return {column: _planes(image[inner, inner]) for column, image in found.items()}, formats, resized

    @property
    def _side(self) -> str:
        return {"restored": "restored face", "degraded": "input"}.get(self.frame, self.frame)

    @property
    def conditions(self) -> dict[str, str]:
        """What the files were and what was done to them, once they have been read."""
        kinds: dict[str, list[str]] = {}
        for (column, suffix), count in sorted(self.formats.items(), key=lambda item: item[0][1]):
            kinds.setdefault(column, []).append(f"{suffix[1:].upper()} {count}")
        columns = [column for column in self.files if column in kinds]
        resized = ", ".join(f"{column} {count}" for column, count in sorted(self.resized.items()))
        return {
            "file_format": "; ".join(f"{column}: {', '.join(kinds[column])}" for column in columns),
            "resize_kernel": f"{self.resize} (OpenCV), to the {self._side}'s size: {resized} files"
            if resized
            else "none",
            "crop": f"{self.crop} pixels at each border" if self.crop else "none: every pixel counts",
        }


def _planes(image: Pixels) -> NDArray[np.float32]:
    """uint8 H x W x 3 -> float32 3 x H x W in [0, 1], without PyTorch, whose threads would wait for the decoders'."""
    return np.stack(cv2.split(image)).astype(np.float32) / np.float32(255)


def pair_folders(
    reference: str | Path | None,
    columns: Mapping[str, str | Path],
    resize: str = "",
    crop: int = 0,
    out: Path | None = None,
) -> FolderPairs:
    """Find the pairs of some folders (trees) with the reference folder; nothing below ``out`` is read.

    Args:
        reference: None: there are no originals.
        columns: "degraded", "restored" or any other name -> folder. A column "degraded" is the restorer's input.
        resize, crop: see :class:`FolderPairs`.
    Raises:
        FileNotFoundError: no such folder.
        ValueError: a folder without pictures; two files of one name; names that do not pair: both sides are listed.
    """
    folders = {**({"reference": reference} if reference else {}), **columns}
    for folder in folders.values():
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    listed = {column: images_in(Path(folder), out) for column, folder in folders.items()}
    found = {column: files_by_name(sources) for column, sources in listed.items()}
    aside = [sources.aside_sentence for sources in listed.values() if sources.aside]
    pairs = FolderPairs(found.pop("reference", {}), found, resize, crop, aside)
    there, theirs = str(folders[pairs.frame]), pairs.files[pairs.frame]
    for column, files in found.items():
        if said := unpaired(str(folders[column]), files, there, theirs):
            raise ValueError(f"names do not pair\n{said}")
    return pairs
