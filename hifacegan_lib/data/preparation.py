"""Preparation: choose the splits from a source of clean faces, and write the manifest.

The keys are sorted by the hash of (seed, key). Validation takes the first ``valid_size`` keys, training the last
``train_size``. When images are added and the sizes stay, an image may leave its split, but it never moves from one
split to the other.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tqdm import tqdm

from hifacegan_lib.data import sources
from hifacegan_lib.data.checks import JOURNAL, Check, check_faces
from hifacegan_lib.data.duplicates import near_duplicates
from hifacegan_lib.data.manifest import NAME, Entry, Manifest, NearDuplicate, Rejected, Split
from hifacegan_lib.utils.files import relative_path, sha256
from hifacegan_lib.utils.folder_lock import scratch_folder
from hifacegan_lib.utils.inputs import images_in
from hifacegan_lib.utils.item_guard import printable

IMAGES = "images"  # folder below data_dir for drawn or downloaded images
Pool = dict[str, Path]  # key -> file


class _Face(NamedTuple):
    """An accepted image."""

    entry: Entry
    check: Check


def sample(keys: Collection[str], train_size: int, valid_size: int, seed: int) -> dict[str, Split]:
    """Draw a training and a validation split from distinct keys: key -> split.

    Raises:
        ValueError: too few keys, a negative size, or a duplicate key.
    """
    line = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogateescape")).digest())
    if len(set(line)) != len(line):
        raise ValueError("the keys of a split must be distinct")
    if min(train_size, valid_size) < 0:
        raise ValueError(f"train_size = {train_size}, valid_size = {valid_size}: expected 0 or more")
    if train_size + valid_size > len(line):
        raise ValueError(
            f"train_size = {train_size} and valid_size = {valid_size} need {train_size + valid_size} images, "
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
    workers: int = 0,
) -> Manifest:
    """Choose and check the images of both splits and write ``data_dir/manifest.json``; see params.DataPreparation.

    Every chosen image is decoded. Unusable images are listed under ``rejected`` with the reason, and the next images
    replace them. A manifest of the same parameters is returned unchanged. The manifest is written last: an interrupted
    call leaves no manifest, or the old one; with ``folder``, the next call does not check the same files again.

    Args:
        overwrite: prepare again; deletes the old manifest and the drawn or downloaded images that it lists, nothing
            else.
        workers: threads that check the images; 0: one for each core. The manifest does not depend on it.
    Raises:
        FileExistsError: ``data_dir`` holds other data, listed files are missing, or an unlisted file has a needed name.
        FileNotFoundError, ImportError, ValueError: no such folder or data set, or too few images.
    """
    folder = Path(data_dir).resolve()
    asked: dict[str, Any] = {"source": source, "train_size": train_size, "valid_size": valid_size, "seed": seed}
    if source == "synthetic":
        asked |= {"synthetic_size": synthetic_size}
    elif source == "folder":
        asked |= {"source_path": relative_path(source_path, folder), "train_glob": train_glob, "valid_glob": valid_glob}
    elif source == "hub":
        asked |= {"dataset_name": dataset_name, "dataset_split": dataset_split, "image_column": image_column}
        asked |= {"source_path": relative_path(source_path, folder) if source_path else ""}
    else:
        raise ValueError(f"source = {source!r}: expected synthetic, folder or hub")
    if (folder / NAME).exists() and not overwrite:
        return _existing_manifest(folder, asked)
    if source == "folder" and any(p.is_relative_to(Path(source_path).resolve()) for p in _generated_files(folder)):
        raise ValueError(f"source_path = {source_path}: overwrite would delete its images; choose another data_dir")
    with scratch_folder(folder / f".{IMAGES}.partial") as staging:
        journal = (folder if source == "folder" else staging) / JOURNAL
        pools, rejected = _pools(asked, folder, staging, journal, progress)
        faces, bad = choose_images(pools, train_size, valid_size, seed, source, journal, progress, workers)
        rejected |= bad
        if rejected and progress:
            tqdm.write(f"rejected images: {len(rejected)}, see {NAME}")
        manifest = Manifest(
            folder=folder,
            parameters=asked,
            root=asked["source_path"] if source == "folder" else ".",
            files=[face.entry for face in faces],
            rejected=[Rejected(file=printable(file), reason=rejected[file]) for file in sorted(rejected)],
            near_duplicates=_near_duplicates(faces),
        )
        _install(staging, folder)
        manifest.save()
        journal.unlink(missing_ok=True)
    return manifest


def _existing_manifest(folder: Path, asked: Mapping[str, Any]) -> Manifest:
    """The folder's manifest, if it has the same parameters and its files exist; else FileExistsError."""
    manifest = Manifest.load(folder)
    had = {name: manifest.parameters.get(name) for name in asked}
    differ = [f"{name} = {had[name]!r}, requested {value!r}" for name, value in asked.items() if had[name] != value]
    if differ:
        raise FileExistsError(
            f"{folder} holds other data ({'; '.join(differ)}); choose another data_dir, or set overwrite = true"
        )
    if missing := manifest.missing():
        raise FileExistsError(
            f"{folder / NAME} lists {len(missing)} files that are missing (such as {missing[0].path}); "
            "restore them, or set overwrite = true"
        )
    return manifest


def _pools(
    asked: Mapping[str, Any], folder: Path, staging: Path, journal: Path, progress: bool
) -> tuple[dict[Split, Pool], dict[str, str]]:
    """The available images of each split, and the files that the source rejected: file -> reason."""
    count = asked["train_size"] + asked["valid_size"]
    if asked["source"] == "synthetic":
        pool = sources.draw_portraits(staging, count, asked["synthetic_size"], progress)
        return {"train": pool, "valid": pool}, {}
    if asked["source"] == "hub":
        path = folder / asked["source_path"] if asked["source_path"] else None
        name, split, column = (asked[key] for key in ("dataset_name", "dataset_split", "image_column"))
        pool, rejected = sources.fetch_hub(staging, count, name, split, column, path, progress, journal)
        return {"train": pool, "valid": pool}, rejected
    root = (folder / asked["source_path"]).resolve()
    pool = sources.list_folder(root, folder)
    if progress and (said := images_in(root, folder).aside_sentence):
        tqdm.write(said)
    return _pools_by_glob(pool, asked["train_glob"], asked["valid_glob"]), {}


def _pools_by_glob(pool: Pool, train_glob: str, valid_glob: str) -> dict[Split, Pool]:
    """The images that match each split's glob: the same images for both, or no common image."""
    train = {key: path for key, path in pool.items() if sources.matches(key, train_glob)}
    valid = {key: path for key, path in pool.items() if sources.matches(key, valid_glob)}
    for name, fitting in ((f"train_glob = {train_glob!r}", train), (f"valid_glob = {valid_glob!r}", valid)):
        if not fitting:
            raise ValueError(f"{name}: matches none of {len(pool)} keys, for example {min(pool)!r}")
    shared = train.keys() & valid.keys()
    if shared and train != valid:
        raise ValueError(
            f"train_glob = {train_glob!r} and valid_glob = {valid_glob!r} share {len(shared)} of {len(train)} and "
            f"{len(valid)} images: expected the same images for both, or no common image"
        )
    return {"train": train, "valid": valid}


def choose_images(
    pools: Mapping[Split, Pool],
    train_size: int,
    valid_size: int,
    seed: int,
    source: str,
    journal: Path | None = None,
    progress: bool = True,
    workers: int = 0,
) -> tuple[list[_Face], dict[str, str]]:
    """Sample the splits and check their images; reject bad images and sample again until all are good.

    Args:
        journal, workers: as in :func:`hifacegan_lib.data.checks.check_faces`.
    Returns:
        the chosen images, sorted by key; bad key -> reason.
    Raises:
        ValueError: too few usable images.
    """
    faces: dict[str, _Face] = {}
    rejected: dict[str, str] = {}
    total = train_size + valid_size
    with tqdm(total=total, desc="check images", unit=" images", mininterval=1.0, disable=not progress) as bar:
        while True:
            train, valid = (pools[split].keys() - rejected.keys() for split in ("train", "valid"))
            try:
                if train == valid:
                    split = sample(train, train_size, valid_size, seed)
                else:
                    split = sample(valid, 0, valid_size, seed) | sample(train, train_size, 0, seed)
            except ValueError as error:
                bad = [printable(f"{key}: {reason}") for key, reason in rejected.items()]
                some = f"; {len(bad)} more were rejected, for example {bad[0]}" if bad else ""
                raise ValueError(f"{error}{some}") from None
            fresh = sorted(key for key in split if key not in faces)
            if not fresh:
                return [faces[key] for key in sorted(split)], rejected
            paths = [pools[split[key]][key] for key in fresh]
            for key, path, check in zip(fresh, paths, check_faces(paths, journal, workers), strict=True):
                if check.error:
                    rejected[key] = check.error
                    continue
                faces[key] = _Face(_entry(key, path, split[key], source, check), check)
                bar.update()


def _entry(key: str, path: Path, split: Split, source: str, check: Check) -> Entry:
    file = key if source == "folder" else f"{IMAGES}/{path.name}"
    return Entry(
        key=key, file=file, sha256=check.sha256, split=split, source=source, height=check.height, width=check.width
    )


def _near_duplicates(faces: Collection[_Face]) -> list[NearDuplicate]:
    train = {face.entry.key: face.check.hashes[0] for face in faces if face.entry.split == "train"}
    valid = {face.entry.key: face.check.hashes for face in faces if face.entry.split == "valid"}
    return [NearDuplicate(train=t, valid=v, distance=bits) for t, v, bits in near_duplicates(train, valid)]


def _install(staging: Path, folder: Path) -> None:
    """Replace the generated images of the old manifest by the staged images; other files are not changed."""
    moves = {path: folder / IMAGES / path.name for path in sorted(staging.glob("[!.]*"))}
    generated = _generated_files(folder)
    for staged, target in moves.items():
        if target.exists() and target not in generated and sha256(target) != sha256(staged):
            raise FileExistsError(
                f"{target} exists, and the manifest does not list it; move it, or choose another data_dir"
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    for path in generated:
        path.unlink(missing_ok=True)
    for staged, target in moves.items():
        target.parent.mkdir(exist_ok=True)
        staged.replace(target)


def _generated_files(folder: Path) -> set[Path]:
    try:
        manifest = Manifest.load(folder)
    except (FileNotFoundError, ValueError):  # without a manifest no file is known as generated
        return set()
    drawn = manifest.parameters.get("source") in ("synthetic", "hub") and manifest.root == "."
    return {entry.path for entry in manifest.files() if drawn and entry.path.parent == folder / IMAGES}
