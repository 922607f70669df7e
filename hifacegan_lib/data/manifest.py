"""The manifest: the images of each split, with the sha256 of each file. Training reads only images that it lists.

``manifest.json`` lies in the data folder. ``root`` is relative to that folder, and every file is relative to ``root``,
so data and manifest can be moved together.
"""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field

from hifacegan_lib.utils.files import read_json, sha256, write_text
from hifacegan_lib.utils.records import Record

NAME = "manifest.json"
Split = Literal["train", "valid"]


class Entry(NamedTuple):
    """One image of a split. ``path`` is absolute; height and width in pixels of the decoded image."""

    key: str
    path: Path
    sha256: str
    split: str
    source: str
    height: int
    width: int


def _below_root(file: str) -> str:
    parts = PurePosixPath(file).parts
    if not parts or ".." in parts or PurePosixPath(file).is_absolute():
        raise ValueError("must be a path below root")
    return file


class FileRecord(Record):
    """One entry of ``files`` in manifest.json."""

    key: str
    file: Annotated[str, AfterValidator(_below_root)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    split: Split
    source: str
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


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
    records: list[FileRecord] = Field(alias="files")
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
        keys = set[str]()
        for record in manifest.records:
            if record.key in keys:
                raise ValueError(f"{path}: key {record.key!r} is listed twice")
            keys.add(record.key)
        return manifest

    def save(self) -> Path:
        """Write ``folder/manifest.json`` atomically."""
        return write_text(self.folder / NAME, json.dumps(self.model_dump(by_alias=True), indent=1) + "\n")

    def path(self, record: FileRecord) -> Path:
        """The absolute path of a listed file."""
        return Path(os.path.normpath(self.folder / self.root)) / record.file

    def files(self, split: str | None = None) -> list[Entry]:
        """The images of a split, or of both splits with None, in the order of their keys.

        Raises:
            ValueError: no such split.
        """
        if split not in ("train", "valid", None):
            raise ValueError(f"split = {split!r}: expected 'train' or 'valid'")
        return [
            Entry(r.key, self.path(r), r.sha256, r.split, r.source, r.height, r.width)
            for r in self.records
            if split in (r.split, None)
        ]

    def missing(self) -> list[Entry]:
        """The listed images without a file."""
        return [entry for entry in self.files() if not entry.path.is_file()]

    def verify(self) -> None:
        """Compare the sha256 of every file with the manifest.

        Raises:
            ValueError: missing or changed files; the message names them.
        """
        missing = {entry.key for entry in self.missing()}
        bad = [
            f"{entry.path} ({'missing' if entry.key in missing else 'changed'})"
            for entry in self.files()
            if entry.key in missing or sha256(entry.path) != entry.sha256
        ]
        if bad:
            raise ValueError(f"{self.folder / NAME}: {len(bad)} files differ from the manifest: {', '.join(bad[:5])}")
