"""Recipes: families of damage as data, and the seed of each image's share of it.

A **recipe** is a list of operations with ranges, given in order or shuffled, kept as JSON. Sampling it with a seed
gives a **trace**: the same operations with every number fixed, each noise by its own seed.

    trace = recipe.sample(seed)         degraded = trace.apply(clean)

An entry of the list is an operation, ``one_of`` several entries, or several ``steps`` that stay together, ``shuffled``
if they come in random order; each may have a ``probability``, and inside ``one_of`` a ``weight``.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from hifacegan_lib.degradations.operations import MAX_SEED, OPERATIONS, Range, Value
from hifacegan_lib.degradations.traces import (
    REFERENCE_SIZE,
    Step,
    Trace,
    check_grid,
    json_object,
    operation_values,
    parse_json,
)

__all__ = ["Draw", "Recipe", "Step", "Trace", "load_recipe", "pair_seed", "recipe_names"]

FOLDER = Path(__file__).with_name("recipe_files")


@dataclass(frozen=True)
class Draw:
    """One operation with its ranges: (low, high) of a number, or the words to choose from."""

    op: str
    ranges: tuple[tuple[str, tuple[Value, ...]], ...]
    probability: float = 1.0
    weight: float = 1.0

    def steps(self, rng: np.random.Generator) -> Iterator[Step]:
        ranges, values = dict(self.ranges), []
        for name, kind in OPERATIONS[self.op].parameters.items():
            ends = ranges.get(name, (0, MAX_SEED))
            values.append((name, ends[0] if _is_default(ends, kind.default) else kind.draw(ends, rng)))
        yield Step(self.op, tuple(values))

    def to_dict(self) -> dict[str, Any]:
        kinds = OPERATIONS[self.op].parameters
        ranges = {k: v for k, v in self.ranges if not _is_default(v, kinds[k].default)}
        return {"op": self.op, **{k: v[0] if len(set(v)) == 1 else v for k, v in ranges.items()}, **_chances(self)}


@dataclass(frozen=True)
class OneOf:
    """One of several entries happens, as likely as its weight says."""

    options: tuple["Entry", ...]
    probability: float = 1.0
    weight: float = 1.0

    def steps(self, rng: np.random.Generator) -> Iterator[Step]:
        weights = np.array([option.weight for option in self.options])
        if (weights == weights[0]).all():
            chosen = int(rng.integers(len(weights)))
        else:
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
        yield from _happen(self.options[chosen], rng)

    def to_dict(self) -> dict[str, Any]:
        return {"one_of": [option.to_dict() for option in self.options], **_chances(self)}


@dataclass(frozen=True)
class Steps:
    """Several entries, one after the other, in the order given or in a random one."""

    entries: tuple["Entry", ...]
    probability: float = 1.0
    weight: float = 1.0
    shuffled: bool = False

    def steps(self, rng: np.random.Generator) -> Iterator[Step]:
        entries = [self.entries[n] for n in rng.permutation(len(self.entries))] if self.shuffled else self.entries
        for entry in entries:
            yield from _happen(entry, rng)

    def to_dict(self) -> dict[str, Any]:
        name = "shuffled" if self.shuffled else "steps"
        return {name: [entry.to_dict() for entry in self.entries], **_chances(self)}


Entry = Draw | OneOf | Steps


@dataclass(frozen=True)
class Recipe:
    """A family of damages; ``source`` says where its numbers come from, ``order`` whether they are shuffled."""

    name: str
    description: str
    source: str
    order: Literal["given", "shuffled"]
    operations: tuple[Entry, ...]
    license: str = ""

    def sample(self, seed: int, grid: int = REFERENCE_SIZE) -> Trace:
        """Draw a trace. Each place has its own random numbers, so a new last place leaves the others alone.

        Args:
            grid: side in pixels of the face on whose pixels noise, compression and low resolutions are meant. The size
                of the faces at hand gives each of their pixels the noise that the recipe says; 512 what a face of that
                size would show when it is looked at in another.
        """
        check_grid(grid, self.name)
        children = np.random.SeedSequence(seed).spawn(1 + len(self.operations))
        shuffle, *streams = [np.random.default_rng(child) for child in children]
        groups = [tuple(_happen(entry, rng, top=True)) for entry, rng in zip(self.operations, streams, strict=True)]
        groups = [group for group in groups if group]
        if self.order == "shuffled":
            groups = [groups[n] for n in shuffle.permutation(len(groups))]
        return Trace(self.name, tuple(step for group in groups for step in group), grid)

    def to_dict(self) -> dict[str, Any]:
        head = {"name": self.name, "description": self.description, "source": self.source}
        head |= {"license": self.license} if self.license else {}
        return {**head, "order": self.order, "operations": [entry.to_dict() for entry in self.operations]}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "recipe") -> Self:
        """Read a recipe; ``where`` (its file) opens an error's message.

        Raises:
            ValueError: not JSON, an unknown operation or key, a missing key, a value out of range.
        """
        keys = {"name": str, "description": str, "source": str, "order": str, "operations": list}
        optional = {"license": "", "$schema": ""}
        content = json_object(parse_json(text, where), where, {**keys, **dict.fromkeys(optional, str)}, optional)
        del content["$schema"]
        if content["order"] not in ("given", "shuffled"):
            raise ValueError(f"{where}: order = {content['order']!r}: expected one of given, shuffled")
        content["operations"] = _entries(content["operations"], f"{where}: operations")
        return cls(**content)


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


def _happen(entry: Entry, rng: np.random.Generator, top: bool = False) -> Iterator[Step]:
    """The entry's steps, or none by chance; a place of the list always draws for that, so that chances may change."""
    if not (top or entry.probability < 1) or rng.random() < entry.probability:
        yield from entry.steps(rng)


def _is_default(ends: tuple[Value, ...], default: Value | None) -> bool:
    return default is not None and set(ends) == {default}


def _chances(entry: Entry) -> dict[str, float]:
    return {name: value for name in ("probability", "weight") if (value := getattr(entry, name)) != 1}


def _entries(contents: Any, where: str) -> tuple[Entry, ...]:
    if not isinstance(contents, list):
        raise ValueError(f"{where} = {contents!r}: expected a list")
    return tuple(_entry(content, f"{where}[{i}]") for i, content in enumerate(contents))


def _entry(content: Any, where: str) -> Entry:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected an object, got {content!r}")
    content = dict(content)
    chances: dict[str, float] = {}
    for name, kind in {"probability": Range(0, 1), "weight": Range(0, 1e6)}.items():
        chances[name] = content.pop(name, 1.0)
        if not kind.holds(chances[name]):
            raise ValueError(f"{where}.{name} = {chances[name]!r}: expected {kind}")
    for group in ("one_of", "steps", "shuffled"):
        if group in content:
            inside = _entries(json_object(content, where, {group: list})[group], f"{where}.{group}")
            if not inside:
                raise ValueError(f"{where}.{group}: expected at least one operation")
            if group != "one_of":
                return Steps(inside, **chances, shuffled=group == "shuffled")
            if not any(option.weight for option in inside):
                raise ValueError(f"{where}.one_of: expected a weight above 0")
            return OneOf(inside, **chances)
    return Draw(content.get("op", ""), _ranges(content, where), **chances)


def _ranges(content: Any, where: str) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    ranges = []
    for name, (kind, spec) in operation_values(content, where, seeded=False).items():
        ends = kind.spread(spec)
        if ends is None:
            either = "[low, high]" if isinstance(kind, Range) else "a list of them"
            raise ValueError(f"{where}.{name} = {spec!r}: expected {kind}, or {either}")
        ranges.append((name, ends))
    return tuple(ranges)
