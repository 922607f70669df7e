"""The table of operations: the function of each operation, its description in a trace, the ranges of its parameters.

Every operation is a pure function uint8 H x W x 3 -> a new array uint8 H x W x 3 of the same size (only ``resize``
changes the size). The smallest image is 1 x 1. Lengths count pixels of this image; the seed determines all random
numbers. The level of Gaussian and Laplace noise and the rate of Poisson noise count grey levels of 255. The sigma of
speckle noise is a share of the pixel's value, the scale of shot noise a factor of the photons' own noise, and sensor
noise acts on linear light in [0, 1]. ``OPERATIONS[name](image, ...)`` checks image and numbers; the functions do not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import Parameter, signature
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
    """A function of an image, the template of its description in a trace, and the ranges of its parameters.

    ``ranges`` holds the ranges that ``SHARED`` does not give. ``version`` is raised by one when the same numbers give
    other pixels than before; traces of another version then raise an error.
    """

    function: Callable[..., Pixels]
    template: str
    ranges: Mapping[str, Range | Names] = field(default_factory=dict)
    version: int = 1

    @cached_property
    def parameters(self) -> dict[str, Range | Names]:
        """The numbers of a trace, in the order of the function's signature, which gives the defaults."""
        known, found = {**SHARED, **self.ranges}, {}
        for name, given in signature(self.function).parameters.items():
            if name in known:
                found[name] = replace(known[name], default=None if given.default is Parameter.empty else given.default)
        return found

    @cached_property
    def context(self) -> tuple[str, ...]:
        """Arguments that a trace computes.

        "grain" is the side of a pixel of the trace's grid, in pixels of this image; "shape" is height and width of
        the clean face.
        """
        return tuple(name for name in ("grain", "shape") if name in signature(self.function).parameters)

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


def _length(low: float, high: float) -> Range:
    return Range(low, high, length=True)


MAX_SEED = 2**32 - 1
_GREY, _SHARE, _SHIFT = Range(0, 255), Range(0, 1), Range(-255, 255)
_SIGMAS = {"sigma": _length(0, 64), "across": _length(0, 64)}

SHARED: dict[str, Range | Names] = {
    **dict.fromkeys(("amount", "opacity", "strength"), _SHARE),
    **dict.fromkeys(("brightness", "contrast", "saturation"), Range(0, 2)),
    "angle": Range(0, 360),
    "beta": Range(0.25, 8),
    "channels": Names(("rgb", "grey")),
    "kernel": Names(tuple(resampling.INTERPOLATIONS)),
    "quality": Range(1, 100, whole=True),
    "seed": Range(0, MAX_SEED, whole=True),
    "size": _length(0, 255),
}
"""Ranges by the name of the parameter, for every operation that gives no range of its own."""

OPERATIONS = {
    "downsample": Operation(resampling.downsample, "down {ratio:.2g}x {kernel}", {"ratio": Range(1 / 64, 1)}),
    "resize": Operation(resampling.resample, "to {ratio:.2g}x {kernel}", {"ratio": Range(1 / 64, 2)}),
    "mosaic": Operation(resampling.mosaic, "mosaic {block:.3g} px", {"block": _length(1, 512)}),
    "coarse_chroma": Operation(resampling.coarse_chroma, "chroma of {block:.3g} px", {"block": _length(1, 128)}),
    "gaussian_blur": Operation(blurs.gaussian_blur, "gaussian blur {sigma:.2g} px", {"sigma": _length(0, 128)}),
    "anisotropic_blur": Operation(
        blurs.anisotropic_blur, "anisotropic blur {sigma:.2g} x {across:.2g} px at {angle:.0f}°", _SIGMAS
    ),
    "generalized_blur": Operation(blurs.generalized_blur, "generalized blur {sigma:.2g} px, beta {beta:.2g}", _SIGMAS),
    "plateau_blur": Operation(blurs.plateau_blur, "plateau blur {sigma:.2g} px, beta {beta:.2g}", _SIGMAS),
    "median_blur": Operation(blurs.median_blur, "median blur {size:.3g} px", {"size": _length(1, 101)}),
    "motion_blur": Operation(
        blurs.motion_blur, "motion blur {length:.0f} px at {angle:.0f}°", {"length": _length(1, 256)}
    ),
    "sinc": Operation(blurs.sinc, "sinc {wavelength:.2g} px", {"wavelength": _length(2, 64), "size": _length(3, 101)}),
    "halo": Operation(
        blurs.halo, "halo {amount:.2g} of {sigma:.2g} px", {"amount": Range(0, 4), "sigma": _length(0, 64)}
    ),
    "gaussian_noise": Operation(noises.gaussian_noise, "gaussian noise {sigma:.2g}", {"sigma": _GREY}),
    "laplace_noise": Operation(noises.laplace_noise, "laplace noise {scale:.2g}", {"scale": _GREY}),
    "poisson_noise": Operation(noises.poisson_noise, "poisson noise {rate:.2g}", {"rate": _GREY}),
    "speckle_noise": Operation(noises.speckle_noise, "speckle noise {sigma:.2g}", {"sigma": _SHARE}),
    "shot_noise": Operation(noises.shot_noise, "shot noise {scale:.2g}", {"scale": Range(0, 16)}),
    "sensor_noise": Operation(
        noises.sensor_noise,
        "sensor noise, shot {shot:.2g}, read {read:.2g}",
        {"shot": Range(0, 0.1), "read": Range(0, 0.2)},
    ),
    "jpeg": Operation(compression.jpeg, "jpeg q{quality}"),
    "webp": Operation(compression.webp, "webp q{quality}"),
    "h264": Operation(compression.h264, "h264 crf {crf}", {"crf": Range(0, 51, whole=True)}),
    "colour_jitter": Operation(
        colour.colour_jitter,
        "colours {brightness:.2g} {contrast:.2g} {saturation:.2g} {hue:.2g}",
        {"hue": Range(-0.5, 0.5)},
    ),
    "colour_shift": Operation(
        colour.colour_shift,
        "colours {red:+.0f} {green:+.0f} {blue:+.0f}",
        {"red": _SHIFT, "green": _SHIFT, "blue": _SHIFT},
    ),
    "grey": Operation(colour.grey, "grey {amount:.2g}"),
    "haze": Operation(colour.haze, "haze {amount:.2g}", {"light": _GREY}),
    "uneven_light": Operation(colour.uneven_light, "light -{strength:.2g} from {angle:.0f}°"),
    "scratches": Operation(
        print_damage.scratches, "{count} scratches", {"count": Range(0, 200, whole=True), "width": _length(0, 32)}
    ),
    "fold": Operation(print_damage.fold, "fold {opacity:.2g}", {"width": _length(0, 64)}),
}
"""Name in JSON -> operation. A recipe gives a range for each number except the seed; a trace gives each value."""
