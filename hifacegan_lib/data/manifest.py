"""The manifest: the images of each split, with the sha256 of each file. Training reads only images that it lists.

``manifest.json`` lies in the data folder. ``root`` is relative to that folder, and every file is relative to ``root``,
so data and manifest can be moved together.
"""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from hifacegan_lib.data.checks import in_order
from hifacegan_lib.data.mirrors import NAME, local_shard, origin
from hifacegan_lib.utils.files import read_json, write_text
from hifacegan_lib.utils.records import Record

Split = Literal["train", "valid"]


def _below_root(file: str) -> str:
    parts = PurePosixPath(file).parts
    if not parts or ".." in parts or PurePosixPath(file).is_absolute():
        raise ValueError("must be a path below root")
    return file


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Stored(Record):
    """The place of a face in a shard: bytes ``offset`` to ``offset + length``, and their sha256."""

    offset: NonNegativeInt
    length: PositiveInt
    sha256: Digest


class Entry(Record):
    """One image of a split. ``path`` is absolute; height and width in pixels of the decoded image.

    In a manifest of shards, ``file`` is a shard, ``sha256`` is still that of the image file, which names the face.
    """

    key: str
    file: Annotated[str, AfterValidator(_below_root)]
    sha256: Digest
    split: Split
    source: str
    height: PositiveInt
    width: PositiveInt
    stored: Stored | None = None
    path: Path = Field(default=Path(), exclude=True)  # set by Manifest.files

    @property
    def content_sha256(self) -> str:
        """The sha256 of the bytes that are read."""
        return self.stored.sha256 if self.stored else self.sha256

    def read(self) -> bytes:
        """The bytes of the face: of its file, or of its place in a shard, which are compared with their sha256.

        Raises:
            FileNotFoundError: no such file. OSError: the server of a shard cannot be reached.
            ValueError: the shard is broken or changed; the message names shard and face.
        """
        if self.stored is None:
            return self.path.read_bytes()
        with local_shard(self.path).open("rb") as shard:
            shard.seek(self.stored.offset)
            data = shard.read(self.stored.length)
        if hashlib.sha256(data).hexdigest() == self.stored.sha256:
            return data
        if address := origin(self.path):
            self.path.unlink(missing_ok=True)  # the next call copies it again
        raise ValueError(
            f"{address or self.path}: the face {self.key!r} is not the one that {NAME} lists: "
            "the shard is broken or changed; copy it again, or write the shards again"
        )


class Rejected(Record):
    """A rejected image and the reason."""

    file: str
    reason: str


class NearDuplicate(Record):
    """A similar pair across the splits: the keys, and the number of different bits of the hashes."""

    train: str
    valid: str
    distance: int


class Manifest(Record):
    """Both splits, made by :func:`hifacegan_lib.data.preparation.prepare` with ``parameters``."""

    version: Literal[1] = 1
    parameters: dict[str, Any]
    root: str
    records: list[Entry] = Field(alias="files")
    rejected: list[Rejected]
    near_duplicates: list[NearDuplicate]
    folder: Path = Field(default=Path(), exclude=True)

    @classmethod
    def load(cls, data_dir: str | Path) -> Self:
        """Read and validate ``data_dir/manifest.json``.

        Raises:
            FileNotFoundError: no manifest in ``data_dir``.
            ValueError: not a manifest; the message names the file, the key and the value.
        """
        path = Path(data_dir) / NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no manifest; run notebook 01 or `hifacegan prepare`")
        manifest = cls.parse(read_json(path), str(path)).model_copy(update={"folder": path.parent.resolve()})
        counts = Counter(record.key for record in manifest.records)
        if twice := [key for key, times in counts.items() if times > 1]:
            raise ValueError(f"{path}: key {twice[0]!r} is listed twice")
        return manifest

    def save(self) -> Path:
        """Write ``folder/manifest.json`` atomically."""
        text = json.dumps(self.model_dump(by_alias=True, exclude_none=True), indent=1)
        return write_text(self.folder / NAME, text + "\n")

    def files(self, split: str | None = None) -> list[Entry]:
        """The images of a split, or of both splits with None, in the order of their keys.

        Raises:
            ValueError: no such split.
        """
        if split not in ("train", "valid", None):
            raise ValueError(f"split = {split!r}: expected 'train' or 'valid'")
        root = Path(os.path.normpath(self.folder / self.root))
        chosen = (entry for entry in self.records if split in (entry.split, None))
        return [entry.model_copy(update={"path": root / entry.file}) for entry in chosen]

    def missing(self) -> list[Entry]:
        """The listed images without a file, here or at the address that a mirror copies."""
        entries = self.files()
        there = {path for path in {entry.path for entry in entries} if path.is_file() or origin(path)}
        return [entry for entry in entries if entry.path not in there]

    def verify(self, sample: int | None = None) -> None:
        """Compare the sha256 of files, or of faces in shards, with the manifest; threads share the reading.

        Args:
            sample: at most this number of images, spread over the list; None: all. Missing files are always named.
        Raises:
            ValueError: missing or changed files; the message names them.
        """
        entries, missing = self.files(), self.missing()
        chosen = entries if sample is None else entries[:: -(-len(entries) // sample) or 1]
        bad, gone = [f"{entry.path} (missing)" for entry in missing], {entry.path for entry in missing}
        bad += [fault for fault in in_order(_fault, [entry for entry in chosen if entry.path not in gone]) if fault]
        if bad:
            raise ValueError(f"{self.folder / NAME}: {len(bad)} files differ from the manifest: {', '.join(bad[:5])}")


def _fault(entry: Entry) -> str:
    try:
        return "" if hashlib.sha256(entry.read()).hexdigest() == entry.content_sha256 else f"{entry.path} (changed)"
    except ValueError:
        return f"{entry.path}, {entry.key!r} (changed)"
