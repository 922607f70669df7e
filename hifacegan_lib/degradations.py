"""Damage as data: recipes with ranges, traces with every number fixed.

A **recipe** is a list of operations with ranges, given in order or shuffled, kept as JSON. Sampling it with a seed
gives a **trace**: the same operations with every number fixed, each noise by its own seed.

    trace = recipe.sample(seed)         degraded = trace.apply(clean) = (o_n . ... . o_2 . o_1)(clean)

Recipe, seed and image give the same pixels in any process. Lengths in pixels are those of a 512-pixel face and scale
with min(H, W) / 512, so one trace does the same damage at every size; ratios, noise levels and JPEG quality do not.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from hifacegan_lib.images import Pixels
from hifacegan_lib.operations import MAX_SEED, OPERATIONS, Names, Range, Value

REFERENCE_SIZE = 512  # side of the face for which lengths are given, pixels
FOLDER = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Step:
    """One operation with its values, in the order of ``OPERATIONS``."""

    op: str
    values: tuple[tuple[str, Value], ...]

    def apply(self, image: Pixels, scale: float) -> Pixels:
        operation = OPERATIONS[self.op]
        numbers: dict[str, Any] = dict(self.values)
        for name, kind in operation.parameters.items():
            if kind.length:
                numbers[name] *= scale
        return operation.function(image, **numbers)

    def __str__(self) -> str:
        return OPERATIONS[self.op].words.format(**dict(self.values))


@dataclass(frozen=True)
class Trace:
    """All that happens to one image; ``recipe`` names where it came from."""

    recipe: str
    operations: tuple[Step, ...]

    @classmethod
    def of(cls, recipe: str, *operations: Mapping[str, Any], where: str = "trace") -> Self:
        """A trace by hand: ``Trace.of("mine", {"op": "jpeg", "quality": 30})``.

        Raises:
            ValueError: an unknown operation or key, a missing key, a value out of range.
        """
        return cls(recipe, tuple(_step(entry, f"{where}: operations[{i}]") for i, entry in enumerate(operations)))

    def apply(self, image: Pixels) -> Pixels:
        """uint8 H x W x 3 -> a new array of the same shape; the same pixels at every call.

        Raises:
            ValueError: not a uint8 H x W x 3 array with at least one pixel.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"expected uint8 H x W x 3 with at least one pixel, got {image.dtype} {image.shape}")
        scale = min(image.shape[:2]) / REFERENCE_SIZE
        result = np.array(image, order="C")
        for step in self.operations:
            result = step.apply(result, scale)
        return result

    def describe(self) -> str:
        """Such as "jpeg q63 > gaussian noise 12 > down 0.18x area"; lengths are those of a 512-pixel face."""
        return " > ".join(map(str, self.operations)) or "unchanged"

    def to_json(self) -> str:
        steps = [{"op": step.op, **dict(step.values)} for step in self.operations]
        return json.dumps({"recipe": self.recipe, "operations": steps})

    @classmethod
    def from_json(cls, text: str, where: str = "trace") -> Self:
        """Read what :meth:`to_json` wrote; ``where`` opens an error's message. Raises ValueError as :meth:`of`."""
        content = _object(_parse(text, where), where, {"recipe": str, "operations": list})
        return cls.of(content["recipe"], *content["operations"], where=where)


@dataclass(frozen=True)
class Draw:
    """One operation with its ranges: (low, high) of a number, or the words to choose from."""

    op: str
    ranges: tuple[tuple[str, tuple[Value, ...]], ...]

    def step(self, rng: np.random.Generator) -> Step:
        ranges, values = dict(self.ranges), []
        for name, kind in OPERATIONS[self.op].parameters.items():
            values.append((name, kind.draw(ranges.get(name, (0, MAX_SEED)), rng)))
        return Step(self.op, tuple(values))


@dataclass(frozen=True)
class Entry:
    """One place of a recipe: with ``probability`` one of its options happens, each as likely."""

    options: tuple[Draw, ...]
    probability: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A family of damages; ``source`` says where its numbers come from, ``order`` whether they are shuffled."""

    name: str
    description: str
    source: str
    order: Literal["given", "shuffled"]
    operations: tuple[Entry, ...]

    def sample(self, seed: int) -> Trace:
        """Draw a trace. Each place has its own random numbers, so a new last place leaves the others alone."""
        children = np.random.SeedSequence(seed).spawn(1 + len(self.operations))
        shuffle, *streams = [np.random.default_rng(child) for child in children]
        steps = []
        for entry, rng in zip(self.operations, streams, strict=True):
            if rng.random() < entry.probability:
                steps.append(entry.options[rng.integers(len(entry.options))].step(rng))
        if self.order == "shuffled":
            steps = [steps[n] for n in shuffle.permutation(len(steps))]
        return Trace(self.name, tuple(steps))

    def to_json(self) -> str:
        head = {"name": self.name, "description": self.description, "source": self.source, "order": self.order}
        return json.dumps({**head, "operations": [_entry_json(entry) for entry in self.operations]}, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "recipe") -> Self:
        """Read a recipe; ``where`` (its file) opens an error's message.

        Raises:
            ValueError: not JSON, an unknown operation or key, a missing key, a value out of range.
        """
        keys = {"name": str, "description": str, "source": str, "order": str, "operations": list}
        content = _object(_parse(text, where), where, keys)
        if content["order"] not in ("given", "shuffled"):
            raise ValueError(f"{where}: order = {content['order']!r}: expected one of given, shuffled")
        entries = [_entry(entry, f"{where}: operations[{i}]") for i, entry in enumerate(content["operations"])]
        return cls(**{**content, "operations": tuple(entries)})


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A shipped recipe by name, or any file whose name ends in ``.json``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such name (the message lists all), or a mistake in the file (the message names the place).
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        if str(name_or_path) not in recipe_names():
            names = ", ".join(recipe_names())
            raise ValueError(f"no recipe {str(name_or_path)!r}; shipped: {names}; or a path that ends in .json")
        path = FOLDER / f"{name_or_path}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recipe file")
    return Recipe.from_json(path.read_bytes(), str(path))


def pair_seed(key: str, epoch: int, seed: int) -> int:
    """The seed of one image in one epoch: 56 bits of a hash, so any integer type holds it; the same everywhere."""
    text = f"{seed}/{epoch}/{key}".encode(errors="surrogateescape")  # a file's name may be no Unicode
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def _parse(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: not valid JSON ({error})") from None


def _object(content: Any, where: str, keys: Mapping[str, type]) -> dict[str, Any]:
    """``content``, when it is a JSON object with exactly these keys of these types."""
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected an object, got {content!r}")
    for key in content:
        if key not in keys:
            raise ValueError(f"{where}: unknown key {key!r}; known keys: {', '.join(keys)}")
    for key, kind in keys.items():
        if key not in content:
            raise ValueError(f"{where}: missing key {key!r}; needed keys: {', '.join(keys)}")
        if not isinstance(content[key], kind):
            raise ValueError(f"{where}: {key} = {content[key]!r}: expected {kind.__name__}")
    return content


def _parameters(content: Any, where: str, seeded: bool) -> dict[str, Range | Names]:
    """What the operation that ``content`` names takes, when it says all of that and no more."""
    op = content.get("op") if isinstance(content, Mapping) else content
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ValueError(f"{where}: op = {op!r}: expected one of {', '.join(OPERATIONS)}")
    kinds = {name: kind for name, kind in OPERATIONS[op].parameters.items() if seeded or name != "seed"}
    _object(content, f"{where} ({op})", {"op": str, **dict.fromkeys(kinds, object)})
    return kinds


def _step(content: Any, where: str) -> Step:
    kinds = _parameters(content, where, seeded=True)
    for name, kind in kinds.items():
        if not kind.holds(content[name]):
            raise ValueError(f"{where}.{name} = {content[name]!r}: expected {kind}")
    return Step(content["op"], tuple((name, content[name]) for name in kinds))


def _draw(content: Any, where: str) -> Draw:
    ranges = []
    for name, kind in _parameters(content, where, seeded=False).items():
        ends = kind.spread(content[name])
        if ends is None:
            either = "[low, high]" if isinstance(kind, Range) else "a list of them"
            raise ValueError(f"{where}.{name} = {content[name]!r}: expected {kind}, or {either}")
        ranges.append((name, ends))
    return Draw(content["op"], tuple(ranges))


def _entry(content: Any, where: str) -> Entry:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected an object, got {content!r}")
    content = dict(content)
    probability = content.pop("probability", 1.0)
    if not Range(0, 1).holds(probability):
        raise ValueError(f"{where}.probability = {probability!r}: expected {Range(0, 1)}")
    options = _object(content, where, {"one_of": list})["one_of"] if "one_of" in content else [content]
    if not options:
        raise ValueError(f"{where}.one_of: expected at least one operation")
    return Entry(tuple(_draw(option, where) for option in options), probability)


def _entry_json(entry: Entry) -> dict[str, Any]:
    options = [{"op": d.op, **{k: v[0] if len(set(v)) == 1 else v for k, v in d.ranges}} for d in entry.options]
    content: dict[str, Any] = options[0] if len(options) == 1 else {"one_of": options}
    return content if entry.probability == 1 else {**content, "probability": entry.probability}
