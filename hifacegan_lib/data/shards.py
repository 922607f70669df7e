"""Shards: the faces of a manifest at the working size, in tar files as WebDataset has them.

A shard holds two members for each face: ``00000012.json`` names the face, ``00000012.npy`` is uint8 H x W x 3. The
manifest of the shards is their index: key -> shard, offset, length, sha256. So any face is read alone, by its bytes.

    train   shorter side = side, where image_size / crop_min <= side; no face is enlarged
    valid   the square that the loader makes from the file, image_size pixels wide: the same pixels; train too if
            crop_min = 1

A crop of a face that was already resized is softer than a crop of the file: with side = 2 image_size / crop_min, 12 %
of the energy above half of the highest frequency is lost, with image_size / crop_min a third. Pixels are stored
uncompressed: to decode a PNG of this size would take longer than everything else that makes a pair.
"""

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from hifacegan_lib.data.checks import in_order
from hifacegan_lib.data.manifest import Entry, Manifest, Stored
from hifacegan_lib.degradations.crop import whole_frame
from hifacegan_lib.utils.files import atomic
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.images import Pixels, contents, decode_image, resize

SHARD = 2**26
"""Approximate size of a shard, bytes."""


class _Task(NamedTuple):
    """A shard to write; ``first`` is the number of its first face in the split, the last two are of :func:`_fitted`."""

    path: Path
    first: int
    entries: Sequence[Entry]
    size: int
    square: bool


def working_side(image_size: int, crop_min: float, side: int = 0) -> int:
    """The shorter side of the training faces in shards, pixels.

    With ``side`` = 0 it is twice what the smallest crop needs; ``image_size`` if no crop is smaller than the face.

    Raises:
        ValueError: ``side`` is smaller than the smallest crop needs, which then would be enlarged.
    """
    least = math.ceil(image_size / crop_min)
    if 0 != side < least:
        raise ValueError(f"side = {side}: expected at least image_size / crop_min = {least}, so no crop is enlarged")
    return side or (2 * least if crop_min < 1 else image_size)


def write_shards(
    manifest: Manifest,
    folder: Path,
    image_size: int,
    crop_min: float,
    side: int = 0,
    workers: int = 0,
    progress: bool = True,
    shard: int = SHARD,
) -> Manifest:
    """Write a manifest's faces into shards in ``folder``, then the shards' manifest; shards that are whole are kept.

    Args:
        image_size, crop_min: of the training.
        side: as in :func:`working_side`.
        workers: threads; 0: one for each core. The files do not depend on it.
        shard: bytes of a shard, about.
    Raises:
        ValueError: ``side`` is too small, a face differs from the manifest, or the manifest is of shards.
        FileNotFoundError: a face is missing.
        FileExistsError: a file in ``folder`` is another shard or none.
    """
    if any(entry.stored for entry in manifest.records):
        raise ValueError(f"{manifest.folder}: holds shards already; give the data folder that they were made from")
    sizes = {"train": working_side(image_size, crop_min, side), "valid": image_size}
    tasks = []
    for split, size in sizes.items():
        entries, count = manifest.files(split), max(1, shard // (3 * size * size))
        for number, first in enumerate(range(0, len(entries), count)):
            path = folder / f"{split}-{number:06d}.tar"
            tasks.append(_Task(path, first, entries[first : first + count], size, size == image_size))
    stored: list[Entry] = []
    bar = tqdm(total=len(manifest.records), desc="write shards", unit=" images", mininterval=1.0, disable=not progress)
    with locked(folder), bar:
        for half in folder.glob(".*.partial.tar"):  # of a process that was killed
            half.unlink()
        for part in in_order(_write, tasks, workers):
            stored += part
            bar.update(len(part))
        parameters = manifest.parameters | {"shards": {"image_size": image_size, "side": sizes["train"]}}
        changes = {"folder": folder.resolve(), "parameters": parameters, "root": "."}
        written = manifest.model_copy(update={**changes, "records": sorted(stored, key=lambda entry: entry.key)})
        written.save()
    return written


def load_stored(entry: Entry) -> Pixels:
    """A face of a shard, uint8 H x W x 3.

    Raises:
        FileNotFoundError, ValueError, OSError: as :meth:`Entry.read`.
    """
    return np.load(io.BytesIO(entry.read()), allow_pickle=False)


def _fitted(entry: Entry, size: int, square: bool) -> Pixels:
    """A face from its file, with ``size`` as shorter side, or its largest centred square; not enlarged."""
    with contents(entry.path) as data:
        image, (height, width) = decode_image(data)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ValueError(f"{entry.path}: the file changed; prepare again with overwrite = true")
    if min(height, width) <= size:
        return image
    if square:
        return whole_frame(image.shape, size).apply(image)
    share = size / min(height, width)
    return resize(image, round(height * share), round(width * share))


def _write(task: _Task) -> list[Entry]:
    """Write a shard, unless it is there; its entries of the shards' manifest."""
    form = {"size": task.size, "square": task.square}
    wanted = [json.dumps({"key": e.key, "split": e.split, "sha256": e.sha256} | form).encode() for e in task.entries]
    if not task.path.exists():
        with atomic(task.path) as partial, tarfile.open(partial, "w") as tar:
            for number, (entry, description) in enumerate(zip(task.entries, wanted, strict=True), task.first):
                pixels = io.BytesIO()
                np.save(pixels, np.ascontiguousarray(_fitted(entry, task.size, task.square)))
                for suffix, data in (("json", description), ("npy", pixels.getvalue())):
                    member = tarfile.TarInfo(f"{number:08d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    try:
        with tarfile.open(task.path) as tar:
            members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    except tarfile.ReadError:
        members = []
    if [data for _, data in members[::2]] != wanted:
        raise FileExistsError(
            f"{task.path}: holds other faces, or is no whole shard; remove the folder, or choose another"
        )
    return [_stored(*pair, task.path) for pair in zip(task.entries, members[1::2], strict=True)]


def _stored(entry: Entry, content: tuple[tarfile.TarInfo, bytes], path: Path) -> Entry:
    member, data = content
    height, width, _ = np.load(io.BytesIO(data), allow_pickle=False).shape
    place = Stored(offset=member.offset_data, length=member.size, sha256=hashlib.sha256(data).hexdigest())
    return entry.model_copy(update={"file": path.name, "height": height, "width": width, "stored": place})
