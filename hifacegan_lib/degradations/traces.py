"""Traces: the damage of one face with every number fixed, stored as JSON.

    degraded = trace.apply(clean) = (o_n . ... . o_2 . o_1)(clean)
    trace.replay(source) = trace.apply(frame(source))

The same trace and image always give the same pixels. Two rules make the damage look alike at every image size:

- lengths count pixels of a 512-pixel face and scale with min(H, W) / 512;
- noise, compression and low resolution act on the pixel grid of a face ``grid`` pixels wide. A smaller image shows the
  average of the damaged grid; a larger image shows each grid pixel as a square of ``grain`` x ``grain`` pixels.

To train at 64 pixels, sample with ``grid`` 64: then noise of 20 is 20 on each pixel of the network's input. A trace of
another version of an operation raises an error, since the pixels would differ.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator, PositiveInt

from hifacegan_lib.degradations.crop import Frame
from hifacegan_lib.degradations.operations import OPERATIONS, Value
from hifacegan_lib.degradations.resampling import to_shape
from hifacegan_lib.utils.images import Pixels, check_pixels
from hifacegan_lib.utils.records import Record

REFERENCE_SIZE = 512  # side in pixels of the face for which lengths are given


@dataclass(frozen=True)
class Step:
    """One operation with its values, in the order of ``OPERATIONS``."""

    op: str
    values: tuple[tuple[str, Value], ...]

    def apply(self, image: Pixels, scale: float, **context: Any) -> Pixels:
        """Apply the operation with lengths times ``scale``; ``context`` holds "grain" and "shape"."""
        operation = OPERATIONS[self.op]
        numbers: dict[str, Any] = dict(self.values)
        for name, kind in operation.parameters.items():
            if kind.length:
                numbers[name] *= scale
        return operation.function(image, **numbers, **{name: context[name] for name in operation.context})

    def to_dict(self) -> dict[str, Any]:
        """JSON values that differ from the defaults; the default version is 1."""
        operation = OPERATIONS[self.op]
        version = {"version": operation.version} if operation.version != 1 else {}
        changed = {name: value for name, value in self.values if value != operation.parameters[name].default}
        return {"op": self.op, **version, **changed}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read the form of :meth:`to_dict`; a step is returned unchanged.

        Raises:
            ValueError: an unknown operation or version; a missing, unknown or out-of-range number.
        """
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise ValueError("expected an object")
        numbers = dict(content)
        op, version = numbers.pop("op", None), numbers.pop("version", 1)
        if not isinstance(op, str) or op not in OPERATIONS:
            raise ValueError(f"op = {op!r}: expected one of {', '.join(OPERATIONS)}")
        operation = OPERATIONS[op]
        if version != operation.version:
            raise ValueError(
                f"the trace has version {version!r} of {op}, this library has version {operation.version}, which makes "
                "other pixels"
            )
        return cls(op, tuple(operation.complete(numbers).items()))

    def __str__(self) -> str:
        return OPERATIONS[self.op].template.format(**dict(self.values))


class Trace(Record):
    """The damage of one face; ``recipe`` is the name of its recipe, ``frame`` cuts the face from the source image."""

    recipe: str
    grid: PositiveInt = REFERENCE_SIZE
    frame: Frame | None = None
    operations: Annotated[
        tuple[Annotated[Step, PlainValidator(Step.from_dict), PlainSerializer(Step.to_dict)], ...], Field(strict=False)
    ]

    @classmethod
    def of(
        cls, recipe: str, *operations: Step | Mapping[str, Any], grid: int = REFERENCE_SIZE, where: str = "trace"
    ) -> Self:
        """Build a trace: ``Trace.of("mine", {"op": "jpeg", "quality": 30})``.

        Raises:
            ValueError: an unknown operation or key, a missing key, a value out of range.
        """
        return cls.parse({"recipe": recipe, "operations": operations, "grid": grid}, where)

    def apply(self, image: Pixels, face: float | None = None) -> Pixels:
        """Degrade an image: uint8 H x W x 3 -> a new array of the same shape, the same pixels at every call.

        Args:
            face: side in pixels of the face in a whole photograph; None: the image is the face.
        Raises:
            ValueError: not a uint8 H x W x 3 array with at least one pixel; ``face`` not above 0.
        """
        check_pixels(image)
        if face is not None and not face > 0:
            raise ValueError(f"face = {face}: expected a side in pixels, above 0")
        shape, ratio = image.shape[:2], 1.0
        share = 1.0 if face is None else face / min(shape)
        result = np.ascontiguousarray(image)
        for step in self.operations:
            side = min(result.shape[:2]) / ratio * share  # the face's side at the working size, pixels
            grain = (min(shape) * share if step.op == "resize" else side) / self.grid
            result = step.apply(result, side / REFERENCE_SIZE, grain=grain, shape=shape)
            if step.op == "resize":
                ratio = float(dict(step.values)["ratio"])
        if result.shape[:2] != shape:
            return to_shape(result, (shape[0], shape[1]), "cubic")
        return result if self.operations else image.copy(order="C")

    def replay(self, source: Pixels) -> Pixels:
        """Cut the face from its source image by ``frame`` and degrade it; without a frame the same as :meth:`apply`.

        Raises:
            ValueError: as in :meth:`apply`, or the source is too small for the frame.
        """
        check_pixels(source)
        return self.apply(self.frame.apply(source) if self.frame else source)

    def with_frame(self, frame: Frame) -> Self:
        """The same trace with another ``frame``."""
        return self.model_copy(update={"frame": frame})

    def describe(self) -> str:
        """For example "jpeg q63 > gaussian noise 12 > down 0.18x area"; lengths count pixels of a 512-pixel face."""
        return " > ".join(map(str, self.operations)) or "unchanged"

    def to_dict(self) -> dict[str, Any]:
        """The trace as JSON values, which :meth:`parse` reads."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        return json.dumps(self.to_dict())


def find_key(image: str | Path, keys: Collection[str], where: str = "traces") -> str:
    """The key of an image's trace: a key such as ``deep/1.png`` fits when the image's path ends with it.

    Several keys may fit, ``1.png`` and ``deep/1.png``: each says which folder was the source, and that key is taken
    whose source holds all images.

    Raises:
        ValueError: no key fits, or several fit; the message lists keys.
    """
    parts, name = Path(image).absolute().parts, Path(image).name
    found = [key for key in keys if parts[-len(PurePosixPath(key).parts) :] == PurePosixPath(key).parts]
    if len(found) > 1:
        roots = {key: Path(*parts[: -len(PurePosixPath(key).parts)]) for key in found}
        found = [key for key, root in roots.items() if all((root / other).exists() for other in keys)] or found
    if len(found) != 1:
        near = found or [key for key in keys if PurePosixPath(key).name == name] or list(keys)
        listed, said = ", ".join(near[:5]) + " ..." * (len(near) > 5), "several traces" if found else "no trace"
        raise ValueError(f"{where}: {said} of {name!r}; --key names one of {listed}")
    return found[0]
