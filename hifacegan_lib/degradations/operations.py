"""The table of operations: the function and the parameters of each operation.

Every operation is a pure function uint8 H x W x 3 -> a new array uint8 H x W x 3 of the same size (only ``resize``
changes the size). The smallest image is 1 x 1. Lengths count pixels of this image, noise counts grey levels of 255; the
seed determines all random numbers. ``OPERATIONS[name](image, ...)`` checks image and numbers; the functions do not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hifacegan_lib.degradations import blurs, colour, compression, noises, print_damage, resampling
from hifacegan_lib.utils.images import Pixels, check_pixels

Value = float | str


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; a ``length`` counts pixels of a 512-pixel face.

    A number with a ``default`` is optional.
    """

    low: float
    high: float
    whole: bool = False
    length: bool = False
    default: float | None = None

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:.10g} to {self.high:.10g}"

    def holds(self, value: Any) -> bool:
        return type(value) in ((int,) if self.whole else (int, float)) and self.low <= value <= self.high

    def ends(self, spec: Any) -> tuple[Value, ...]:
        """(low, high) from a recipe's number or [low, high]. Raises ValueError: neither form, or out of range."""
        ends = tuple(spec) if isinstance(spec, list | tuple) else (spec, spec)
        if len(ends) != 2 or not all(map(self.holds, ends)) or ends[0] > ends[1]:
            raise ValueError(f"expected {self}, or [low, high]")
        return ends

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of a number or [low, high]; its bounds apply to numbers, its lengths to lists."""
        number, bounds = "integer" if self.whole else "number", {"minimum": self.low, "maximum": self.high}
        unit = ", in pixels of a 512-pixel face" if self.length else ""
        pair = {"items": {"type": number, **bounds}, "minItems": 2, "maxItems": 2}
        return {"description": f"{self}, or [low, high]{unit}", "type": [number, "array"], **bounds, **pair}

    def draw(self, ends: tuple[Any, ...], rng: np.random.Generator) -> Value:
        low, high = ends
        if self.whole:
            return int(rng.integers(low, high, endpoint=True))
        return min(max(round(rng.uniform(low, high), 4), low), high)  # four decimals keep a trace readable


@dataclass(frozen=True)
class Names:
    """One word out of ``names``; a word with a ``default`` is optional."""

    names: tuple[str, ...]
    default: str | None = None
    length = False

    def __str__(self) -> str:
        return "one of " + ", ".join(self.names)

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names

    def ends(self, spec: Any) -> tuple[Value, ...]:
        """The words of a recipe's word or [word, ...]. Raises ValueError: neither form, or an unknown word."""
        names = tuple(spec) if isinstance(spec, list | tuple) else (spec,)
        if not names or not all(map(self.holds, names)):
            raise ValueError(f"expected {self}, or a list of them")
        return names

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of a word or [word, ...]."""
        words = {"enum": list(self.names)}
        return {"anyOf": [words, {"type": "array", "items": words, "minItems": 1}]}

    def draw(self, names: tuple[Any, ...], rng: np.random.Generator) -> Value:
        return names[rng.integers(len(names))]


@dataclass(frozen=True)
class Operation:
    """A function of an image, the template of its description in a trace, its parameters.

    ``context`` names further arguments, which a trace computes: "grain", the side of a pixel of the trace's grid, in
    pixels of this image; "shape", height and width of the clean face. ``version`` is raised by one when the same
    numbers give other pixels than before; traces of another version then raise an error.
    """

    function: Callable[..., Pixels]
    template: str
    parameters: Mapping[str, Range | Names]
    context: tuple[str, ...] = ()
    version: int = 1

    def __call__(self, image: Pixels, **numbers: Any) -> Pixels:
        """Check the image and the numbers, then apply the operation; lengths count pixels of this image.

        Raises:
            ValueError: not uint8 H x W x 3 with at least one pixel; a missing, unknown or out-of-range number.
        """
        check_pixels(image)
        context = {name: numbers.pop(name) for name in self.context if name in numbers}
        if "shape" in self.context:
            context.setdefault("shape", image.shape[:2])
        return self.function(image, **self.complete(numbers), **context)

    def complete(self, numbers: Mapping[str, Any]) -> dict[str, Value]:
        """All numbers in the order of ``parameters``; missing numbers take their defaults.

        Raises:
            ValueError: an unknown or out-of-range number, or a missing number without a default.
        """
        for name in numbers.keys() - self.parameters.keys():
            raise ValueError(f"unknown number {name!r}; known: {', '.join(self.parameters)}")
        for name, kind in self.parameters.items():
            if name not in numbers and kind.default is None:
                raise ValueError(f"missing number {name!r}: expected {kind}")
            if name in numbers and not kind.holds(numbers[name]):
                raise ValueError(f"{name} = {numbers[name]!r}: expected {kind}")
        return {name: numbers.get(name, kind.default) for name, kind in self.parameters.items()}


MAX_SEED = 2**32 - 1
Kinds = Mapping[str, Range | Names]


def _length(low: float, high: float, default: float | None = None) -> Range:
    return Range(low, high, length=True, default=default)


_GRAIN = ("grain",)
_GREY, _SHARE, _QUALITY = Range(0, 255), Range(0, 1), Range(1, 100, whole=True)
_ANGLE: Kinds = {"angle": Range(0, 360)}
_KERNEL: Kinds = {"kernel": Names(tuple(resampling.INTERPOLATIONS))}
_SIZE: Kinds = {"size": _length(0, 255, default=0)}
_SEED: Kinds = {"seed": Range(0, MAX_SEED, whole=True)}
_NOISE: Kinds = {**_SEED, "channels": Names(("rgb", "grey"), default="rgb")}
_OVAL: Kinds = {"sigma": _length(0, 64), "across": _length(0, 64), **_ANGLE, **_SIZE}
_SHAPE: Kinds = {
    "sigma": _length(0, 64),
    "beta": Range(0.25, 8),
    "across": _length(0, 64, default=0),
    "angle": Range(0, 360, default=0),
    **_SIZE,
}
_JITTER: Kinds = {name: Range(0, 2, default=1) for name in ("brightness", "contrast", "saturation")}

OPERATIONS = {
    "downsample": Operation(
        resampling.downsample, "down {ratio:.2g}x {kernel}", {"ratio": Range(1 / 64, 1), **_KERNEL}, _GRAIN
    ),
    "resize": Operation(
        resampling.resample, "to {ratio:.2g}x {kernel}", {"ratio": Range(1 / 64, 2), **_KERNEL}, ("grain", "shape")
    ),
    "mosaic": Operation(resampling.mosaic, "mosaic {block:.3g} px", {"block": _length(1, 512)}),
    "gaussian_blur": Operation(
        blurs.gaussian_blur, "gaussian blur {sigma:.2g} px", {"sigma": _length(0, 128), **_SIZE}
    ),
    "anisotropic_blur": Operation(
        blurs.anisotropic_blur, "anisotropic blur {sigma:.2g} x {across:.2g} px at {angle:.0f}°", _OVAL
    ),
    "generalized_blur": Operation(blurs.generalized_blur, "generalized blur {sigma:.2g} px, beta {beta:.2g}", _SHAPE),
    "plateau_blur": Operation(blurs.plateau_blur, "plateau blur {sigma:.2g} px, beta {beta:.2g}", _SHAPE),
    "median_blur": Operation(blurs.median_blur, "median blur {size:.3g} px", {"size": _length(1, 101)}),
    "motion_blur": Operation(
        blurs.motion_blur, "motion blur {length:.0f} px at {angle:.0f}°", {"length": _length(1, 256), **_ANGLE}
    ),
    "sinc": Operation(
        blurs.sinc, "sinc {wavelength:.2g} px", {"wavelength": _length(2, 64), "size": _length(3, 101, default=21)}
    ),
    "gaussian_noise": Operation(
        noises.gaussian_noise, "gaussian noise {sigma:.2g}", {"sigma": _GREY, **_NOISE}, _GRAIN
    ),
    "laplace_noise": Operation(noises.laplace_noise, "laplace noise {scale:.2g}", {"scale": _GREY, **_NOISE}, _GRAIN),
    "poisson_noise": Operation(noises.poisson_noise, "poisson noise {rate:.2g}", {"rate": _GREY, **_NOISE}, _GRAIN),
    "speckle_noise": Operation(noises.speckle_noise, "speckle noise {sigma:.2g}", {"sigma": _SHARE, **_NOISE}, _GRAIN),
    "shot_noise": Operation(noises.shot_noise, "shot noise {scale:.2g}", {"scale": Range(0, 16), **_NOISE}, _GRAIN),
    "sensor_noise": Operation(
        noises.sensor_noise,
        "sensor noise, shot {shot:.2g}, read {read:.2g}",
        {"shot": Range(0, 0.1), "read": Range(0, 0.2), **_SEED},
        _GRAIN,
    ),
    "jpeg": Operation(compression.jpeg, "jpeg q{quality}", {"quality": _QUALITY}, _GRAIN),
    "webp": Operation(compression.webp, "webp q{quality}", {"quality": _QUALITY}, _GRAIN),
    "colour_jitter": Operation(
        colour.colour_jitter,
        "colours {brightness:.2g} {contrast:.2g} {saturation:.2g} {hue:.2g}",
        {**_JITTER, "hue": Range(-0.5, 0.5, default=0)},
    ),
    "colour_shift": Operation(
        colour.colour_shift,
        "colours {red:+.0f} {green:+.0f} {blue:+.0f}",
        dict.fromkeys(("red", "green", "blue"), Range(-255, 255)),
    ),
    "grey": Operation(colour.grey, "grey {amount:.2g}", {"amount": Range(0, 1, default=1)}),
    "haze": Operation(
        colour.haze, "haze {amount:.2g}", {"amount": _SHARE, **_SEED, "light": Range(0, 255, default=230)}
    ),
    "uneven_light": Operation(
        colour.uneven_light, "light -{strength:.2g} from {angle:.0f}°", {"strength": _SHARE, **_ANGLE}
    ),
    "scratches": Operation(
        print_damage.scratches,
        "{count} scratches",
        {"count": Range(0, 200, whole=True), "width": _length(0, 32), "opacity": _SHARE, **_SEED},
    ),
    "fold": Operation(print_damage.fold, "fold {opacity:.2g}", {"opacity": _SHARE, "width": _length(0, 64), **_SEED}),
}
"""Name in JSON -> operation. A recipe gives a range for each number except the seed; a trace gives each value."""
