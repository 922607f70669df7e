"""Recipes: kinds of damage as data; a seed draws one damage from a recipe.

A **recipe** is a list of operations with ranges, given in order or shuffled, kept as JSON. Sampling it with a seed
gives a **trace**: the same operations with every number fixed, each noise by its own seed.

    trace = recipe.sample(seed)         degraded = trace.apply(clean)

An entry of the list is an operation, ``one_of`` several entries, or several ``steps`` that stay together, ``shuffled``
if they come in random order; each may have a ``probability``, and inside ``one_of`` a ``weight``. Entries are pydantic
models, those of operations made from ``OPERATIONS``: pydantic reads recipes and writes their JSON Schema.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

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
from hifacegan_lib.utils.files import parse_json
from hifacegan_lib.utils.records import Record

__all__ = ["Draw", "Recipe", "Step", "Trace", "load_recipe", "pair_seed", "recipe_names"]

FOLDER = Path(__file__).with_name("recipe_files")


_SHORT = PlainSerializer(lambda number: number if number % 1 else int(number))  # 2 and not 2.0 in a recipe's JSON


class _Entry(Record):
    probability: Annotated[float, Field(ge=0, le=1, description="how often it happens"), _SHORT] = 1
    weight: Annotated[float, Field(ge=0, le=1e6, description="its share in one_of"), _SHORT] = 1

    @model_serializer(mode="wrap")
    def _chances_last(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return dict(sorted(dump(self).items(), key=lambda item: item[0] in _Entry.model_fields))

    def happen(self, rng: np.random.Generator, top: bool = False) -> Iterator[Step]:
        """The entry's steps, or none by chance; an entry at the ``top`` always draws a number for that chance."""
        if not (top or self.probability < 1) or rng.random() < self.probability:
            yield from self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        """The entry's steps, with their numbers."""
        raise NotImplementedError


class Draw(_Entry):
    """One operation; its subclasses have a field for each number of it: (low, high), or the words to choose from."""

    op: str

    @property
    def ranges(self) -> dict[str, tuple[Value, ...]]:
        """What each number is drawn from, in the order of ``OPERATIONS``; a seed comes from all seeds."""
        return {name: getattr(self, name, (0, MAX_SEED)) for name in OPERATIONS[self.op].parameters}

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        kinds, values = OPERATIONS[self.op].parameters, []
        for name, ends in self.ranges.items():
            fixed = set(ends) == {kinds[name].default}  # a number at its default takes no random number
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
    """One of several entries happens, as likely as its weight says."""

    one_of: Annotated[tuple["Entry", ...], _SOME_WEIGHT, AfterValidator(_check_weights)]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        weights = np.array([option.weight for option in self.one_of])
        if (weights == weights[0]).all():
            chosen = int(rng.integers(len(weights)))
        else:
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
        yield from self.one_of[chosen].happen(rng)


class Steps(_Entry):
    """All of several entries happen, one after the other."""

    steps: Annotated[tuple["Entry", ...], _NOT_EMPTY]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        for entry in self.steps:
            yield from entry.happen(rng)


class Shuffled(_Entry):
    """All of several entries happen, in random order."""

    shuffled: Annotated[tuple["Entry", ...], _NOT_EMPTY]

    def draw(self, rng: np.random.Generator) -> Iterator[Step]:
        for n in rng.permutation(len(self.shuffled)):
            yield from self.shuffled[n].happen(rng)


def _draw_model(name: str) -> type[Draw]:
    """The entry of one operation: a field for each number but the seed, which a recipe draws."""
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
    """Which of the models an entry is, or should be."""
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
    """A kind of damage, read from JSON or built in Python.

        Recipe(name="mine", operations=[{"op": "jpeg", "quality": [20, 60]}, {"op": "grey", "probability": 0.1}])

    ``source`` says where its numbers come from, ``order`` whether the operations are shuffled.
    """

    schema_: Annotated[str, AfterValidator(lambda _: "")] = Field("", alias="$schema", exclude=True, repr=False)
    name: str
    description: str = ""
    source: Annotated[str, Field(description="where the numbers come from")] = ""
    license: str = ""
    order: Literal["given", "shuffled"] = "given"
    operations: Annotated[tuple["Entry", ...], Field(strict=False)]

    def sample(self, seed: int, grid: int = REFERENCE_SIZE) -> Trace:
        """Draw a trace. Each place has its own random numbers, so a new last place leaves the others alone.

        Args:
            grid: side in pixels of the face on whose pixels noise, compression and low resolutions are meant. The size
                of the faces at hand gives each of their pixels the noise that the recipe says; 512 what a face of that
                size would show when it is looked at in another.
        Raises:
            ValueError: ``grid`` is not a whole number of pixels, 1 or more.
        """
        children = np.random.SeedSequence(seed).spawn(1 + len(self.operations))
        shuffle, *streams = [np.random.default_rng(child) for child in children]
        groups = [tuple(entry.happen(rng, top=True)) for entry, rng in zip(self.operations, streams, strict=True)]
        groups = [group for group in groups if group]
        if self.order == "shuffled":
            groups = [groups[n] for n in shuffle.permutation(len(groups))]
        return Trace.of(self.name, *(step for group in groups for step in group), grid=grid, where=self.name)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values; of the entries what differs from the defaults."""
        head = self.model_dump(exclude={"operations"} if self.license else {"operations", "license"})
        return {
            **head,
            "operations": [entry.model_dump(mode="json", exclude_defaults=True) for entry in self.operations],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe.model_validate, (self.to_dict(),)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "recipe") -> Self:
        """Read a recipe; ``where`` (its file) opens an error's message.

        Raises:
            ValueError: not JSON, an unknown operation or key, a missing key, a value out of range.
        """
        return cls.parse(parse_json(text, where), where)


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def recipe_schema() -> dict[str, Any]:
    """What a recipe file may hold, as JSON Schema (draft 2020-12), so that an editor helps to write one.

    It refuses what :meth:`Recipe.from_json` refuses, but for three things that JSON Schema cannot say: a key that comes
    twice, [low, high] with low above high, and 50.0 where a whole number is due.
    """
    return {"$schema": _Schema.schema_dialect, **Recipe.model_json_schema(schema_generator=_Schema)}


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
