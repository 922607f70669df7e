"""Test sets of faces: what is known of a set by its name, and what a folder really holds.

    fingerprint = SHA-256 of the lines "name SHA-256-of-the-file", sorted by name

A name is not enough: two sets of damaged faces are called CelebA-Test. So the fingerprint of the files stands in every
row of a benchmark, with remarks where a folder differs from the card of its name. A set is one of three kinds:

    pairs         subfolders clean/ and damaged/, whose pictures pair by name
    clean         clean faces; a recipe damages them, by the same seeds as `hifacegan degrade`
    no originals  damaged faces alone
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PositiveInt

from hifacegan_lib.data.checks import in_order
from hifacegan_lib.degradations.crop import whole_frame
from hifacegan_lib.degradations.recipes import Recipe, pair_seed
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Trace
from hifacegan_lib.utils.files import read_json, sha256, write_json
from hifacegan_lib.utils.images import SUFFIXES, load_image, save_image
from hifacegan_lib.utils.inputs import files_by_name, images_in, unpaired
from hifacegan_lib.utils.item_guard import reason
from hifacegan_lib.utils.jobs import Each, serial
from hifacegan_lib.utils.records import Record

Kind = Literal["pairs", "clean", "no originals"]
Source = str | Path | Mapping[str, Path]
SHIPPED = Path(__file__).parent / "set_cards"
RECORD = "inputs.json"
PARTS = ("clean", "damaged")  # subfolders of a set of pairs


class SetCard(Record):
    """The known facts of a set, as in a JSON file; null where nobody could measure them.

    Attributes:
        name: by which the command line calls it; ``title``: for tables.
        count: faces (pairs count once); ``frame``: side of a face, pixels.
        source: where the faces come from, in words.
        fingerprint: of the files, 64 hexadecimal digits.
        ntire: kind of set for the gate of NTIRE 2026, see :mod:`hifacegan_lib.metrics.ntire`.
    """

    name: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    title: str = ""
    kind: Kind
    count: PositiveInt | None = None
    frame: PositiveInt | None = None
    source: str = ""
    fingerprint: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    ntire: Literal["wider", "webphoto", "lfw", "celebchild", "celeba"] | None = None


def set_cards(files: Sequence[str | Path] = ()) -> dict[str, SetCard]:
    """The shipped cards and those of some JSON files, by name; a file's card replaces a shipped one.

    Raises:
        FileNotFoundError, ValueError: no such file, or not a card; the message names file, key and value.
    """
    paths = [*sorted(SHIPPED.glob("*.json")), *map(Path, files)]
    cards = [SetCard.parse(read_json(path), str(path)) for path in paths]
    return {card.name: card for card in cards}


@dataclass(frozen=True)
class FaceSet:
    """A set of faces on this machine.

    Attributes:
        card: what is known of it; of a set without a card, what the folder shows.
        inputs: key -> file of the damaged face; of a set of clean faces, see :func:`damaged`.
        clean: key -> file of the clean face; the same keys, or empty.
        names: key -> name of the face within the set, with suffix: the damage is drawn by it.
        fingerprint: of all its files, those that cannot be read included.
        shapes: key -> height and width of its damaged (of a set of clean faces: clean) picture, pixels.
        unreadable: key -> reason; these are in neither ``inputs`` nor ``clean``.
        remarks: sentences: where the files are not those of the card.
        made: how the inputs were made, as JSON values; empty: they came with the set.
    """

    card: SetCard
    inputs: Mapping[str, Path]
    clean: Mapping[str, Path]
    names: Mapping[str, str]
    fingerprint: str
    shapes: Mapping[str, tuple[int, int]]
    unreadable: Mapping[str, str]
    remarks: Sequence[str]
    made: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Faces that can be read."""
        return len(self.inputs or self.clean)

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions on which the numbers of its faces depend, as JSON values."""
        known = {"set": self.card.name, "set_title": self.card.title, "set_kind": self.card.kind}
        known |= {"set_source": self.card.source, "set_fingerprint": self.fingerprint}
        return {**known, "set_sizes": _counted(self.shapes), "set_remarks": list(self.remarks), **self.made}


def open_set(
    name: str, source: Source, cards: Mapping[str, SetCard], out: Path | None = None, recipe: bool = False
) -> FaceSet:
    """Read every file of a set once, to know its fingerprint, its sizes, and what cannot be read.

    Args:
        name: of a card of ``cards``; of another set a card is made: "pairs" where the folder has clean/ and damaged/,
            "clean" for a mapping or where there is a recipe, else "no originals".
        source: a folder; or, of clean faces, a mapping name -> file.
        out: folder for results; nothing below it is read.
        recipe: there is one, for sets of clean faces.
    Raises:
        FileNotFoundError: no such folder, or no clean/ and damaged/ where the card says pairs. ValueError: no picture
            (that can be read), two pictures of one name, names that do not pair.
    """
    card = cards.get(name) or _card_of(name, source, recipe)
    parts, names = _listed(card, source, out)
    files = [(part, key, path) for part, found in parts.items() for key, path in found.items()]
    seen = list(zip(files, in_order(_look, [path for *_, path in files], workers=4), strict=True))
    unreadable = {key: look.problem for (_, key, _), look in seen if look.problem}
    if len(unreadable) == len(names):
        raise ValueError(f"{name}: no face can be read: {next(iter(unreadable.values()))}")
    lines = sorted(f"{part}/{key} {look.sha256}" for (part, key, _), look in seen)
    fingerprint = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    shapes = {key: look.shape for (_, key, _), look in seen if key not in unreadable}
    good = {part: {k: path for k, path in found.items() if k not in unreadable} for part, found in parts.items()}
    inputs, clean = good.get("damaged", {}), good.get("clean", {})
    remarks = _remarks(card, len(names), fingerprint, shapes)
    return FaceSet(card, inputs, clean, names, fingerprint, shapes, unreadable, remarks)


def _card_of(name: str, source: Source, recipe: bool) -> SetCard:
    if isinstance(source, Mapping):
        return SetCard(name=name, kind="clean", source="a list of files")
    pairs = any((Path(source) / part).is_dir() for part in PARTS)
    kind: Kind = "pairs" if pairs else "clean" if recipe else "no originals"
    return SetCard(name=name, kind=kind, source=f"The folder {Path(source).name}.")


def _listed(card: SetCard, source: Source, out: Path | None) -> tuple[dict[str, dict[str, Path]], dict[str, str]]:
    """Part -> key -> file, and key -> name within the set."""
    if isinstance(source, Mapping):
        found = {_key(name): Path(path) for name, path in source.items()}
        if len(found) < len(source) or not found:
            raise ValueError(f"{card.name}: {len(source)} files of {len(found)} names: expected one file a name")
        return {"clean": found}, {_key(name): name for name in source}
    root = Path(source)
    if not root.is_dir():
        raise FileNotFoundError(f"{card.name}: {root}: no such folder")
    if card.kind != "pairs":
        found = files_by_name(images_in(root, out))
        part = "clean" if card.kind == "clean" else "damaged"
        return {part: found}, {key: path.relative_to(root).as_posix() for key, path in found.items()}
    if missing := [part for part in PARTS if not (root / part).is_dir()]:
        raise FileNotFoundError(
            f"{root}: {card.name} is a set of pairs: expected the subfolders clean/ and damaged/, whose pictures have "
            f"the same names; {' and '.join(f'{part}/' for part in missing)} missing"
        )
    clean, damaged = (files_by_name(images_in(root / part, out)) for part in PARTS)
    if said := unpaired(str(root / "clean"), clean, str(root / "damaged"), damaged):
        raise ValueError(f"{card.name}: names do not pair\n{said}")
    return {"clean": clean, "damaged": damaged}, {key: path.name for key, path in damaged.items()}


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


class _Look(NamedTuple):
    sha256: str
    shape: tuple[int, int]
    problem: str


def _look(path: Path) -> _Look:
    mark = sha256(path)
    try:
        height, width = load_image(path).shape[:2]
    except (ValueError, OSError, MemoryError) as error:
        return _Look(mark, (0, 0), reason(error, path))
    return _Look(mark, (height, width), "")


def _counted(shapes: Mapping[str, tuple[int, int]]) -> str:
    """ "512 x 512 (98), 256 x 256 (2)": width x height."""
    sizes = Counter(f"{width} x {height}" for height, width in shapes.values()).most_common()
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    return ", ".join(f"{size} ({n})" for size, n in sizes[:3]) + more


def _remarks(card: SetCard, count: int, fingerprint: str, shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Where the files are not what the card says."""
    found = []
    if card.count and count != card.count:
        found.append(f"{card.name} has {card.count} faces, this folder {count}")
    if card.frame and set(shapes.values()) != {(card.frame, card.frame)}:
        found.append(f"{card.name} has faces of {card.frame} x {card.frame} pixels, this folder {_counted(shapes)}")
    if card.fingerprint and fingerprint != card.fingerprint:
        found.append(
            f"The files are not those of the card {card.name}: fingerprint {fingerprint[:12]}, expected "
            f"{card.fingerprint[:12]}; numbers of other folders of this name may not be compared"
        )
    return found


def damaged(
    faces: FaceSet,
    recipe: Recipe,
    size: int | None,
    seed: int,
    folder: Path,
    tick: Callable[[], object] = lambda: None,
    each: Each = serial,
) -> FaceSet:
    """The same set with inputs: clean faces framed and damaged, as PNG files below ``folder``; existing ones stay.

    ``inputs.json`` says how they were made, with a trace for each face. Where it says another thing, all are new.

    Args:
        size: side of the centred square to which each face is cropped and resized, pixels; None: faces as they are.
        tick: is called after each face.
        each: of :func:`hifacegan_lib.utils.jobs.workers`; the faces are damaged by these.
    """
    traces: dict[str, Trace] = {}
    for key in faces.clean:
        trace = recipe.sample(pair_seed(faces.names[key], 0, seed), grid=size or REFERENCE_SIZE)
        traces[key] = trace.with_frame(whole_frame(faces.shapes[key], size)) if size else trace
    how = {"recipe": recipe.name, "size": size, "seed": seed, "fingerprint": faces.fingerprint}
    record: dict[str, Any] = how | {"traces": {key: trace.to_dict() for key, trace in traces.items()}}
    if not (folder / RECORD).exists() or read_json(folder / RECORD) != record:
        for part in ("input", "clean"):
            shutil.rmtree(folder / part, ignore_errors=True)
        write_json(folder / RECORD, record)
    inputs, clean = ({key: folder / part / f"{key}.png" for key in traces} for part in ("input", "clean"))
    tasks = [(faces.clean[key], trace, clean[key], inputs[key]) for key, trace in traces.items()]
    for _, result in each(_damage, tasks):
        result()
        tick()
    shapes = dict.fromkeys(traces, (size, size)) if size else faces.shapes
    small = sum(min(shape) < (size or 0) for shape in faces.shapes.values())
    remarks = [*faces.remarks, *([f"{small} faces are enlarged to {size} pixels"] if small else [])]
    made = how | {"damage_sha256": sha256(folder / RECORD)}
    return replace(faces, inputs=inputs, clean=clean, shapes=shapes, remarks=remarks, made=made)


def _damage(task: tuple[Path, Trace, Path, Path]) -> None:
    """Frame and damage one face, unless both files are there."""
    source, trace, clean, damaged = task
    if not (clean.exists() and damaged.exists()):
        image = load_image(source)
        save_image(clean, trace.frame.apply(image) if trace.frame else image)
        save_image(damaged, trace.replay(image))
