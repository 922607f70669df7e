"""The manifest: which images, in which split, with which bytes. It is the only thing that training reads.

``manifest.json`` lies in the data folder. ``root`` is written relative to that folder and every file relative to
``root``, so data and manifest can move together.
"""

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

NAME = "manifest.json"
Split = Literal["train", "valid"]


class Entry(NamedTuple):
    """One image of a split. ``path`` is absolute; sizes in pixels as decoded."""

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


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Record):
    """A line of ``files``."""

    key: str
    file: Annotated[str, AfterValidator(_below_root)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    split: Split
    source: str
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class Rejected(_Record):
    """A candidate that cannot serve, and why."""

    file: str
    reason: str


class NearDuplicate(_Record):
    """A pair of images across the splits that look alike: keys, and the bits in which their hashes differ."""

    train: str
    valid: str
    distance: int


class Manifest(_Record):
    """What :func:`hifacegan_lib.data.pairs.prepare` made; see there for ``parameters``."""

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
            FileNotFoundError: no manifest there.
            ValueError: not a manifest; the message names the file and the key in it.
        """
        path = Path(data_dir) / NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no manifest; notebook 01 or `hifacegan prepare` makes it") from None
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error})") from None
        return cls._checked(values, path)

    @classmethod
    def _checked(cls, values: Any, path: Path) -> Self:
        try:
            manifest = cls.model_validate(values).model_copy(update={"folder": path.parent.resolve()})
        except ValidationError as invalid:
            error = invalid.errors()[0]
            where = ".".join(map(str, error["loc"]))
            raise ValueError(f"{path}: {where} = {str(error['input'])[:80]!r}: {error['msg']}") from None
        seen: set[str] = set()
        for record in manifest.records:
            if record.key in seen:
                raise ValueError(f"{path}: key {record.key!r} is listed twice")
            seen.add(record.key)
        return manifest

    def save(self) -> Path:
        """Write ``folder/manifest.json``, whole or not at all."""
        path = self.folder / NAME
        partial = path.with_name(f".{NAME}.partial")
        try:
            partial.write_text(json.dumps(self.model_dump(by_alias=True), indent=1) + "\n", encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def path(self, record: FileRecord) -> Path:
        """Where a listed file lies now."""
        return Path(os.path.normpath(self.folder / self.root)) / record.file

    def files(self, split: str | None = None) -> list[Entry]:
        """The images of a split (of all splits without one), in the order of their keys.

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
        """Listed images whose file is not there."""
        return [entry for entry in self.files() if not entry.path.is_file()]

    def verify(self) -> None:
        """Compare every file's sha256 with the manifest's.

        Raises:
            ValueError: files that are gone or changed, by name.
        """
        gone = {entry.key for entry in self.missing()}
        bad = [
            f"{entry.path} ({'gone' if entry.key in gone else 'changed'})"
            for entry in self.files()
            if entry.key in gone or sha256(entry.path) != entry.sha256
        ]
        if bad:
            raise ValueError(f"{self.folder / NAME}: {len(bad)} files differ from it: {', '.join(bad[:5])}")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
