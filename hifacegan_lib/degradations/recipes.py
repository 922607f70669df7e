"""Recipes: distributions of damage, kept as JSON.

A **recipe** is a list of operations with ranges of numbers, applied in the given or in random order. A seed samples a
**trace** from it: operations with every number fixed, and a seed for each noise.

    trace = recipe.sample(seed)         degraded = trace.apply(clean)

An entry of the list is an operation or a group: ``one_of`` applies one of its entries, ``steps`` all in the given
order, ``shuffled`` all in random order. Each entry may have a ``probability``, and inside ``one_of`` a ``weight``.
Entries are pydantic models, made from ``OPERATIONS`` for operations; pydantic reads recipes and writes their JSON
Schema.
"""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    WithJsonSchema,
    create_model,
    model_serializer,
)
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType

from hifacegan_lib.degradations.operations import MAX_SEED, OPERATIONS, Names, Range, Value
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Step, Trace
from hifacegan_lib.utils.records import Record

FOLDER = Path(__file__).with_name("recipe_files")

_SHORT = PlainSerializer(lambda number: number if number % 1 else int(number))  # writes 2, not 2.0, in JSON


class _Entry(Record):
    probability: Annotated[float, Field(ge=0, le=1, description="probability of the entry"), _SHORT] = 1
    weight: Annotated[float, Field(ge=0, le=1e6, description="relative probability inside one_of"), _SHORT] = 1

    @model_serializer(mode="wrap")
    def _chances_last(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return dict(sorted(dump(self).items(), key=lambda item: item[0] in _Entry.model_fields))

    def sample(self, rng: np.random.Generator, top: bool = False) -> Iterator[Step]:
        """The entry's steps with its probability, else none; an entry at the ``top`` always draws a random number."""
        if not (top or self.probability < 1) or rng.random() < self.probability:
            yield from self.draw(rng)

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        """The entry's steps, with their numbers."""


class Draw(_Entry):
    """One operation. Its subclasses have a field for each parameter: (low, high), or the words to choose from."""

    op: str

    @property
    def ranges(self) -> dict[str, tuple[Value, ...]]:
        """The range of each parameter, in the order of ``OPERATIONS``; that of the seed is every seed."""
        return {name: getattr(self, name, (0, MAX_SEED)) for name in OPERATIONS[self.op].parameters}

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        kinds, values = OPERATIONS[self.op].parameters, []
        for name, ends in self.ranges.items():
            fixed = set(ends) == {kinds[name].default}  # a fixed default consumes no random number
            values.append((name, ends[0] if fixed else kinds[name].draw(ends, rng)))
        yield Step(self.op, tuple(values))


def _check_weights(entries: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
    if not any(entry.weight for entry in entries):
        raise ValueError("expected a weight above 0")
    return entries


_WEIGHTLESS: dict[str, Any] = {"properties": {"weight": {"const": 0}}, "required": ["weight"]}
_NOT_EMPTY = Field(strict=False, min_length=1)
_SOME_WEIGHT = Field(strict=False, min_length=1, json_schema_extra={"contains": {"not": _WEIGHTLESS}})


class OneOf(_Entry):
    """One of the entries is applied, with a probability proportional to its weight."""

    one_of: Annotated[tuple["Entry", ...], _SOME_WEIGHT, AfterValidator(_check_weights)]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        weights = np.array([option.weight for option in self.one_of])
        if (weights == weights[0]).all():
            chosen = int(rng.integers(len(weights)))
        else:
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
        yield from self.one_of[chosen].sample(rng)


class Steps(_Entry):
    """All entries are applied in the given order."""

    steps: Annotated[tuple["Entry", ...], _NOT_EMPTY]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        for entry in self.steps:
            yield from entry.sample(rng)


class Shuffled(_Entry):
    """All entries are applied in random order."""

    shuffled: Annotated[tuple["Entry", ...], _NOT_EMPTY]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        for n in rng.permutation(len(self.shuffled)):
            yield from self.shuffled[n].sample(rng)


def _draw_model(name: str) -> type[Draw]:
    """The model of one operation's entry: a field for each parameter except the seed, which is always drawn."""
    operation, fields = OPERATIONS[name], dict[str, Any](op=(Literal[name], ...))
    for key, kind in operation.parameters.items():
        if kind.default is None and key != "seed":
            fields[key] = (_ends(kind), ...)
        elif key != "seed":
            shown: dict[str, Any] = {"default": kind.default}
            fields[key] = (_ends(kind), Field(kind.ends(kind.default), json_schema_extra=shown))
    return create_model(name, __base__=Draw, __doc__=operation.function.__doc__, **fields)


def _ends(kind: Range | Names) -> Any:
    def shorten(ends: tuple[Value, ...]) -> Any:
        return ends[0] if len(set(ends)) == 1 else list(ends)

    return Annotated[Any, PlainValidator(kind.ends), PlainSerializer(shorten), WithJsonSchema(kind.json_schema())]


_MODELS: dict[str, type[_Entry]] = {"one_of": OneOf, "steps": Steps, "shuffled": Shuffled}
_GROUPS = tuple(_MODELS)
_MODELS |= {name: _draw_model(name) for name in OPERATIONS}


def _check_entry(content: Any) -> Any:
    if isinstance(content, _Entry):
        return content
    if not isinstance(content, Mapping):
        raise ValueError("expected an object")
    if _kind(content) not in _MODELS:
        raise ValueError(f"op = {content.get('op')!r}: expected one of {', '.join(OPERATIONS)}")
    return content


def _kind(content: Any) -> str:
    """The name of an entry's model in ``_MODELS``, if it has one."""
    if isinstance(content, _Entry):
        content = vars(content)
    return next((group for group in _GROUPS if group in content), str(content.get("op")))


if TYPE_CHECKING:
    Entry = Draw | OneOf | Steps | Shuffled
else:
    _union = Union[tuple(Annotated[model, Tag(f"({name})")] for name, model in _MODELS.items())]  # noqa: UP007
    Entry = TypeAliasType(
        "Entry", Annotated[_union, Discriminator(lambda content: f"({_kind(content)})"), BeforeValidator(_check_entry)]
    )


class Recipe(Record):
    """A distribution of damage, read from JSON or built in Python.

        Recipe(name="mine", operations=[{"op": "jpeg", "quality": [20, 60]}, {"op": "grey", "probability": 0.1}])

    ``source`` says where the numbers come from; ``order`` is "given" or "shuffled".
    """

    schema_: Annotated[str, AfterValidator(lambda _: "")] = Field("", alias="$schema", exclude=True, repr=False)
    name: str
    description: str = ""
    source: Annotated[str, Field(description="where the numbers come from")] = ""
    license: str = ""
    order: Literal["given", "shuffled"] = "given"
    operations: Annotated[tuple["Entry", ...], Field(strict=False)]

    def sample(self, seed: int, grid: int = REFERENCE_SIZE) -> Trace:
        """Draw a trace. Each entry has its own stream of random numbers; a new last entry does not change the others.

        Args:
            grid: side in pixels of the face to whose pixels noise, compression and low resolution apply. With the size
                of the faces, each of their pixels gets the recipe's noise. With 512, a face of another size looks like
                a damaged 512-pixel face resized to that size.
        Raises:
            ValueError: ``grid`` is not a whole number of pixels, 1 or more.
        """
        children = np.random.SeedSequence(seed).spawn(1 + len(self.operations))
        shuffle, *streams = [np.random.default_rng(child) for child in children]
        groups = [tuple(entry.sample(rng, top=True)) for entry, rng in zip(self.operations, streams, strict=True)]
        groups = [group for group in groups if group]
        if self.order == "shuffled":
            groups = [groups[n] for n in shuffle.permutation(len(groups))]
        return Trace.of(self.name, *(step for group in groups for step in group), grid=grid, where=self.name)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values; entries hold only values that differ from the defaults."""
        head = self.model_dump(exclude={"operations"} if self.license else {"operations", "license"})
        entries = [entry.model_dump(mode="json", exclude_defaults=True) for entry in self.operations]
        return {**head, "operations": entries}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe.model_validate, (self.to_dict(),)


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of recipe files, for editors that complete and check them.

    It rejects the same files as :meth:`Recipe.from_json`, except for three mistakes that JSON Schema cannot express: a
    duplicate key, [low, high] with low above high, and 50.0 in place of a whole number.
    """
    return {"$schema": _Schema.schema_dialect, **Recipe.model_json_schema(schema_generator=_Schema)}


def recipe_names() -> list[str]:
    """The names of the shipped recipes, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Load a shipped recipe by name, or a recipe file, whose name ends in ``.json``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such name (the message lists all names), or a mistake in the file (the message says where).
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
    """The seed of an image in an epoch: 56 bits of a SHA-256 hash, the same on every machine."""
    text = f"{seed}/{epoch}/{key}".encode(errors="surrogateescape")  # a file name may be invalid UTF-8
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
