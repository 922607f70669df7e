"""From a source of clean faces to a split and its manifest.

Every key has a place in a line: the hash of (seed, key). Validation takes the first ``valid_size`` of the line,
training the last ``train_size``. A new image can only push others towards the middle, out of a split: while the sizes
stay, none ever moves from one split into the other.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tqdm import tqdm

from hifacegan_lib.data import sources
from hifacegan_lib.data.duplicates import Hash, face_hash, near_duplicates
from hifacegan_lib.data.manifest import NAME, FileRecord, Manifest, NearDuplicate, Rejected, Split
from hifacegan_lib.utils.files import sha256

IMAGES = "images"  # folder below data_dir for images that we write
Pool = dict[str, Path]  # key -> file


class _Face(NamedTuple):
    """An image that was decoded and can be used."""

    height: int
    width: int
    sha256: str
    plain: Hash
    mirrored: Hash


def sample(keys: Collection[str], train_size: int, valid_size: int, seed: int) -> dict[str, Split]:
    """Draw a training and a validation split from distinct keys: key -> split.

    Raises:
        ValueError: more images asked for than there are, a negative size, a key twice.
    """
    line = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogateescape")).digest())
    if len(set(line)) != len(line):
        raise ValueError("the keys of a split must be distinct")
    if min(train_size, valid_size) < 0:
        raise ValueError(f"train_size = {train_size}, valid_size = {valid_size}: expected 0 or more")
    if train_size + valid_size > len(line):
        raise ValueError(
            f"train_size = {train_size} and valid_size = {valid_size} ask for {train_size + valid_size} images, "
            f"there are {len(line)}"
        )
    valid, train = line[:valid_size], line[len(line) - train_size :]
    return {**dict.fromkeys(valid, "valid"), **dict.fromkeys(train, "train")}


def prepare(
    *,
    source: Literal["synthetic", "folder", "hub"],
    source_path: str | Path = "",
    dataset_name: str = "",
    dataset_split: str = "train",
    image_column: str = "image",
    synthetic_size: int = 96,
    train_glob: str = "**",
    valid_glob: str = "**",
    train_size: int,
    valid_size: int,
    seed: int = 0,
    data_dir: str | Path,
    overwrite: bool = False,
    progress: bool = True,
) -> Manifest:
    """Choose, check and list the images of both splits in ``data_dir/manifest.json``; see params.DataPreparation.

    Every chosen image is decoded. An image that cannot be used is listed under ``rejected`` with the reason, and the
    next in line takes its place. With the same parameters, the existing manifest is returned. The manifest is written
    last: an interrupted call leaves none, or the old one.

    Args:
        overwrite: prepare again. Removes the old manifest and the images that it lists as written by us, nothing else.
    Raises:
        FileExistsError: ``data_dir`` holds other data, listed files are missing, or other files are in the way.
        FileNotFoundError, ImportError, ValueError: the source has no such folder, data set, or not enough images.
    """
    folder = Path(data_dir).resolve()
    asked: dict[str, Any] = {"source": source, "train_size": train_size, "valid_size": valid_size, "seed": seed}
    if source == "synthetic":
        asked |= {"synthetic_size": synthetic_size}
    elif source == "folder":
        asked |= {"source_path": _relative(source_path, folder), "train_glob": train_glob, "valid_glob": valid_glob}
    elif source == "hub":
        asked |= {"dataset_name": dataset_name, "dataset_split": dataset_split, "image_column": image_column}
        asked |= {"source_path": _relative(source_path, folder) if source_path else ""}
    else:
        raise ValueError(f"source = {source!r}: expected synthetic, folder or hub")
    if (folder / NAME).exists() and not overwrite:
        return _existing(folder, asked)
    if source == "folder" and any(p.is_relative_to(Path(source_path).resolve()) for p in _written_by_us(folder)):
        raise ValueError(f"source_path = {source_path}: overwrite would remove its images; choose another data_dir")
    staging = folder / f".{IMAGES}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        pools, rejected = _pools(asked, folder, staging, progress)
        split, faces, bad = choose(pools, train_size, valid_size, seed, progress)
        rejected |= bad
        if rejected and progress:
            tqdm.write(f"rejected images: {len(rejected)}, see {NAME}")
        pool = pools["valid"] | pools["train"]
        manifest = Manifest(
            folder=folder,
            parameters=asked,
            root=asked["source_path"] if source == "folder" else ".",
            files=[_record(key, split[key], pool[key], faces[key], source) for key in sorted(split)],
            rejected=[Rejected(file=_printable(file), reason=rejected[file]) for file in sorted(rejected)],
            near_duplicates=_across(split, faces),
        )
        _install(staging, folder)
        manifest.save()
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _relative(path: str | Path, folder: Path) -> str:
    """``path`` as seen from ``folder``, so that both can move together; absolute when they share no drive."""
    try:
        return Path(os.path.relpath(Path(path).resolve(), folder)).as_posix()
    except ValueError:
        return Path(path).resolve().as_posix()


def _existing(folder: Path, asked: Mapping[str, Any]) -> Manifest:
    """The manifest in the folder, when it has the same parameters and its files exist."""
    manifest = Manifest.load(folder)
    there = manifest.parameters
    other = [name for name, value in asked.items() if there.get(name) != value]
    differ = [f"{name}: {there.get(name)!r} there, {asked[name]!r} asked" for name in other]
    if differ:
        raise FileExistsError(
            f"{folder} holds other data ({'; '.join(differ)}); choose another data_dir, or overwrite = true"
        )
    if missing := manifest.missing():
        raise FileExistsError(
            f"{folder / NAME} lists {len(missing)} files that are missing (such as {missing[0].path}); "
            "bring them back, or overwrite = true"
        )
    return manifest


def _pools(
    asked: Mapping[str, Any], folder: Path, staging: Path, progress: bool
) -> tuple[dict[Split, Pool], dict[str, str]]:
    """The images that each split may draw from, and the files that the source left out: file -> reason."""
    count = asked["train_size"] + asked["valid_size"]
    if asked["source"] == "synthetic":
        pool = sources.draw_portraits(staging, count, asked["synthetic_size"], progress)
        return {"train": pool, "valid": pool}, {}
    if asked["source"] == "hub":
        path = folder / asked["source_path"] if asked["source_path"] else None
        name, split, column = (asked[key] for key in ("dataset_name", "dataset_split", "image_column"))
        pool, rejected = sources.fetch_hub(staging, count, name, split, column, path, progress)
        return {"train": pool, "valid": pool}, rejected
    pool = sources.list_folder((folder / asked["source_path"]).resolve())
    return _by_glob(pool, asked["train_glob"], asked["valid_glob"]), {}


def _by_glob(pool: Pool, train_glob: str, valid_glob: str) -> dict[Split, Pool]:
    """The images that fit each split's glob: the same for both, or none in common."""
    train = {key: path for key, path in pool.items() if sources.matches(key, train_glob)}
    valid = {key: path for key, path in pool.items() if sources.matches(key, valid_glob)}
    for name, fitting in ((f"train_glob = {train_glob!r}", train), (f"valid_glob = {valid_glob!r}", valid)):
        if not fitting:
            raise ValueError(f"{name}: fits none of {len(pool)} keys, which are like {min(pool)!r}")
    shared = train.keys() & valid.keys()
    if shared and train != valid:
        raise ValueError(
            f"train_glob = {train_glob!r} and valid_glob = {valid_glob!r} share {len(shared)} of {len(train)} and "
            f"{len(valid)} images: they must fit the same ones, or none in common"
        )
    return {"train": train, "valid": valid}


def choose(
    pools: Mapping[Split, Pool], train_size: int, valid_size: int, seed: int, progress: bool = True
) -> tuple[dict[str, Split], dict[str, _Face], dict[str, str]]:
    """Sample and decode; leave bad images out and sample again, until all are good.

    Returns:
        key -> split; key -> decoded face; bad key -> reason.
    Raises:
        ValueError: the sizes ask for more images than can be used.
    """
    faces: dict[str, _Face] = {}
    bad: dict[str, str] = {}
    with tqdm(total=train_size + valid_size, desc="check images", mininterval=1.0, disable=not progress) as bar:
        while True:
            train, valid = (pools[split].keys() - bad.keys() for split in ("train", "valid"))
            try:
                if train == valid:
                    split = sample(train, train_size, valid_size, seed)
                else:
                    split = sample(valid, 0, valid_size, seed) | sample(train, train_size, 0, seed)
            except ValueError as error:
                some = f"; {len(bad)} more were rejected, such as {next(iter(bad.items()))}" if bad else ""
                raise ValueError(f"{error}{some}") from None
            fresh = [key for key in split if key not in faces]
            if not fresh:
                return split, faces, bad
            for key in fresh:
                path = pools[split[key]][key]
                try:
                    faces[key] = _check(key, path)
                    bar.update()
                except (FileNotFoundError, ValueError) as error:
                    bad[key] = sources.reason(error, path)


def _check(key: str, path: Path) -> _Face:
    key.encode()  # a name that is not UTF-8 cannot be written
    image = sources.load_face(path)
    height, width = image.shape[:2]
    return _Face(height, width, sha256(path), face_hash(image), face_hash(image[:, ::-1]))


def _printable(file: str) -> str:
    return file.encode("utf-8", "backslashreplace").decode()


def _record(key: str, split: Split, path: Path, face: _Face, source: str) -> FileRecord:
    file = key if source == "folder" else f"{IMAGES}/{path.name}"
    size = {"height": face.height, "width": face.width}
    return FileRecord(key=key, file=file, sha256=face.sha256, split=split, source=source, **size)


def _across(split: Mapping[str, Split], faces: Mapping[str, _Face]) -> list[NearDuplicate]:
    train = {key: faces[key].plain for key in sorted(split) if split[key] == "train"}
    valid = {key: (faces[key].plain, faces[key].mirrored) for key in sorted(split) if split[key] == "valid"}
    return [NearDuplicate(train=t, valid=v, distance=bits) for t, v, bits in near_duplicates(train, valid)]


def _install(staging: Path, folder: Path) -> None:
    """Replace the images that the old manifest lists as ours by the staged ones; no other file is touched."""
    moves = {path: folder / IMAGES / path.name for path in sorted(staging.glob("*"))}
    ours = _written_by_us(folder)
    for staged, target in moves.items():
        if target.exists() and target not in ours and sha256(target) != sha256(staged):
            raise FileExistsError(
                f"{target} is in the way and no manifest lists it as ours; move it, or choose another data_dir"
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    for path in ours:
        path.unlink(missing_ok=True)
    for staged, target in moves.items():
        target.parent.mkdir(exist_ok=True)
        staged.replace(target)


def _written_by_us(folder: Path) -> set[Path]:
    try:
        manifest = Manifest.load(folder)
    except (FileNotFoundError, ValueError):  # nothing there says that any file is ours
        return set()
    drawn = manifest.parameters.get("source") in ("synthetic", "hub") and manifest.root == "."
    return {entry.path for entry in manifest.files() if drawn and entry.path.parent == folder / IMAGES}
