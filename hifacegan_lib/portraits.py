"""Procedural portraits: faces that belong to nobody, drawn by a seed, to train and test without any data set.

A face is a height field lit from one side. Everything is a function of (x, y) in [-1, 1] x [-1, 1], y down, framed as
aligned photographs are: eyes at 45% of the height, the head filling the square. The layers, from back to front:

    background, clothes, neck, hair behind | head: skin albedo x light(normal of the height field) | eyes, brows, mouth
    | beard, hair in front, glasses | camera

Random numbers are drawn in an order and number that do not depend on the size, every texture from grids of fixed sizes,
so one seed is the same person at any size. It is no model of human variety: it is there to be restored.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hifacegan_lib.images import Pixels

Field = NDArray[np.float32]  # H x W
Color = NDArray[np.float32]  # 3, linear RGB
Scene = NDArray[np.float32]  # H x W x 3, linear RGB

SKIN = np.array([[0.90, 0.66, 0.53], [0.80, 0.54, 0.40], [0.62, 0.38, 0.26], [0.40, 0.23, 0.15], [0.22, 0.12, 0.08]])
HAIR = np.array([[0.02, 0.017, 0.015], [0.06, 0.03, 0.018], [0.16, 0.08, 0.04], [0.4, 0.26, 0.12], [0.3, 0.1, 0.04]])
IRIS = np.array([[0.08, 0.04, 0.02], [0.16, 0.09, 0.04], [0.12, 0.16, 0.08], [0.14, 0.22, 0.3], [0.2, 0.24, 0.26]])


def portrait(seed: int, size: int = 256) -> Pixels:
    """Draw one portrait: uint8 size x size x 3, the same person for the same seed at any size.

    Raises:
        ValueError: ``size`` below 16, or a negative ``seed``.
    """
    if size < 16:
        raise ValueError(f"size = {size}: a portrait needs at least 16 pixels")
    if seed < 0:
        raise ValueError(f"seed = {seed}: expected 0 or more")
    rng = np.random.default_rng(seed)
    return _camera(_paint(_Canvas(rng, size if size > 160 else round(1.5 * size)), rng), rng, size)


@dataclass
class _Canvas:
    """Coordinates and textures at one size."""

    rng: np.random.Generator
    side: int

    def __post_init__(self) -> None:
        line = (np.arange(self.side, dtype=np.float32) + 0.5) * (2 / self.side) - 1
        self.x, self.y = np.meshgrid(line, line)
        self.pixel = 2 / self.side

    def noise(self, cells: int, stretch: float = 1.0, octaves: int = 1, gain: float = 0.6) -> Field:
        """Smooth noise of unit variance with ``cells`` bumps across; ``stretch`` times longer downwards."""
        total = np.zeros((self.side, self.side), np.float32)
        for octave in range(octaves):
            across = cells * 2**octave
            grid = self.rng.standard_normal((max(2, round(across / stretch)), across)).astype(np.float32)
            shrinks = max(grid.shape) > self.side
            total += gain**octave * cv2.resize(
                grid, (self.side, self.side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            )
        return total / np.float32(np.sqrt(sum(gain ** (2 * n) for n in range(octaves))))

    def inside(self, distance: Field, soft: float = 0.0) -> Field:
        """1 where a signed distance is negative, an edge of one pixel or ``soft``."""
        return np.clip(0.5 - distance / max(self.pixel * 1.5, soft), 0, 1)

    def disc(self, cx: float, cy: float, rx: float, ry: float, soft: float = 0.0) -> Field:
        """A filled ellipse."""
        return self.inside((np.hypot((self.x - cx) / rx, (self.y - cy) / ry) - 1) * min(rx, ry), soft)

    def window(self, cx: float, cy: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the square around a point, so that small things cost little."""
        spot = np.abs(self.x - cx) + np.abs(self.y - cy)
        row, column = np.unravel_index(int(spot.argmin()), spot.shape)
        n = round(reach / self.pixel)
        return slice(max(0, row - n), row + n), slice(max(0, column - n), column + n)

    def bump(self, cx: float, cy: float, rx: float, ry: float) -> Field:
        """A Gaussian hill of height 1."""
        return np.exp(-(((self.x - cx) / rx) ** 2) - ((self.y - cy) / ry) ** 2)


def _mix(base: Scene, color: ArrayLike, alpha: ArrayLike) -> Scene:
    """Paint a colour or a scene over another one where alpha, H x W in [0, 1], says so."""
    color = np.asarray(color, np.float32)
    return base + (color - base) * np.asarray(alpha, np.float32)[..., None]


def _paint(c: _Canvas, rng: np.random.Generator) -> Scene:
    """The scene in linear light, side x side x 3."""
    skin = _between(SKIN, rng.uniform(0, 4)) * _color(rng.uniform(0.92, 1.08, 3))
    hair = _between(HAIR, rng.uniform(0, 4)) if rng.random() > 0.15 else _color([rng.uniform(0.25, 0.6)] * 3)
    age, style = rng.random(), rng.choice(["short", "long", "fringe", "bald"], p=[0.4, 0.35, 0.15, 0.1])
    light = _unit([rng.uniform(-1.1, 1.1), -rng.uniform(0.1, 0.9), 1.0])
    yaw, roll = float(np.clip(rng.normal(0, 0.12), -0.3, 0.3)), rng.normal(0, 0.06)

    image = _background(c, rng)
    cos, sin = float(np.cos(roll)), float(np.sin(roll))
    c.x, c.y = c.x * cos + c.y * sin, c.y * cos - c.x * sin
    half, jaw = rng.uniform(0.53, 0.6), rng.uniform(0.05, 0.22)
    outline = np.clip(1 - np.abs((c.y + 0.05) / 0.93) ** rng.uniform(2.2, 2.7), 1e-4, 1) ** 0.5 * half
    outline *= 1 - jaw * np.clip((c.y - 0.1) / 0.8, 0, 1) ** 2
    head = np.abs(c.x) - outline  # below 0 inside

    strands = _strands(c, rng)
    hair_color = (
        hair * np.clip(0.75 + 0.42 * strands, 0.12, 2.4)[..., None] + 0.05 * np.clip(strands - 0.8, 0, 1)[..., None]
    )
    volume = rng.uniform(0.05, 0.16)
    if style != "bald":
        behind = _skull(c, half + volume, 0.88 + volume) * half
        if style == "long":
            fall = np.abs(c.x) - (half + volume) * (1 + 0.12 * c.y) - 0.015 * c.noise(9)
            behind = np.minimum(behind, np.maximum(fall, -c.y - 0.1))
        image = _mix(image, hair_color, c.inside(behind + 0.012 * c.noise(40), 0.02))

    image = _neck_and_clothes(c, rng, image, skin)
    for side in (-1, 1):
        ear = c.disc(side * (half + 0.005) - 0.1 * yaw, 0.05, 0.055, 0.15, 0.02)
        image = _mix(
            image, skin * (0.5 + 0.35 * c.bump(side * half, 0.05, 0.05, 0.1))[..., None], ear * (style != "long")
        )

    c.x = c.x + yaw * 0.3 * np.sqrt(np.clip(1 - (c.x / 0.7) ** 2, 0, 1))  # features turn with the head
    mouth = _Mouth(c, rng)
    shade, gloss = _light(c, rng, half, age, light, mouth)
    albedo = _skin(c, rng, skin)
    albedo = mouth.paint(c, albedo, skin, rng)
    face = albedo * shade[..., None] + gloss[..., None]
    face = _eyes(c, rng, face, skin, hair, light, shade)
    face = _mix(face, face * np.float32(0.25), 0.9 * sum(c.disc(s * 0.06, 0.275, 0.034, 0.016, 0.02) for s in (-1, 1)))
    if rng.random() < 0.3:
        face = _beard(c, rng, face, hair, head, mouth)
    image = _mix(image, face, c.inside(head, 0.015))

    if style != "bald":
        line = (
            rng.uniform(-0.72, -0.52) + rng.uniform(0.1, 0.5) * (c.x - rng.uniform(-0.3, 0.3)) ** 2 + 0.02 * c.noise(24)
        )
        line = line + (0.3 if style == "fringe" else 0)
        burns = np.clip((c.y - rng.uniform(-0.15, 0.2)) * 3, 0, 1) ** 2
        sides = half * rng.uniform(0.84, 0.97) - np.abs(c.x) + 0.015 * c.noise(16) + 0.4 * burns
        front = np.minimum(c.y - line, sides if style != "long" else sides + 0.02)
        crown = _skull(c, half + volume, 0.88 + volume) * half
        cover = c.inside(np.maximum(front, crown) + 0.012 * c.noise(60), 0.03)
        image = _mix(image, image * np.float32(0.75), 0.6 * cv2.GaussianBlur(cover, (0, 0), 0.03 / c.pixel))
        image = _mix(image, hair_color * (0.65 + 0.5 * shade[..., None]), cover)
    if rng.random() < 0.18:
        image = _glasses(c, rng, image)
    return image


def _between(stops: NDArray[np.float64], where: float) -> Color:
    low = min(int(where), len(stops) - 2)
    return _color(stops[low] + (stops[low + 1] - stops[low]) * (where - low))


def _color(values: ArrayLike) -> Color:
    return np.asarray(values, np.float32)


def _unit(vector: list[float]) -> NDArray[np.float64]:
    return np.array(vector) / np.linalg.norm(vector)


def _skull(c: _Canvas, rx: float, ry: float) -> Field:
    """Distance from a rounded box around the head, in its radii; below 0 inside."""
    return (np.abs(c.x / rx) ** 2.5 + np.abs((c.y + 0.15) / ry) ** 2.5) ** 0.4 - 1


def _muted(rng: np.random.Generator, count: int) -> Scene:
    """Colours as rooms and streets have them: any brightness, seldom saturated; count x 3."""
    grey, tint = rng.uniform(0.02, 0.55, (count, 1)), rng.uniform(-1, 1, (count, 3))
    return _color(grey * np.exp(0.45 * rng.beta(1.2, 2, (count, 1)) * tint))


def _background(c: _Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """A wall, foliage, lights out of focus or shelves, always with some texture."""
    first, second = _muted(rng, 2)
    blend = np.clip(0.5 + 0.5 * (c.x * rng.normal() + c.y * rng.normal()) + 0.25 * c.noise(3, octaves=2), 0, 1)
    image = (first + (second - first) * blend[..., None]).astype(np.float32)
    kind = rng.choice(["wall", "foliage", "lights", "shelves"])
    if kind == "foliage":
        leaves = c.noise(10, octaves=5, gain=0.75)
        image = image * np.exp(0.7 * leaves)[..., None] * np.array([0.8, 1.15, 0.6])
    elif kind == "lights":
        for _ in range(24):
            radius = rng.uniform(0.04, 0.16)
            disc = c.disc(rng.uniform(-1, 1), rng.uniform(-1, 1), radius, radius, 0.02)
            image = _mix(image, 1.6 * _muted(rng, 1)[0], rng.uniform(0.15, 0.6) * disc)
    elif kind == "shelves":
        edges = np.sort(rng.uniform(-1.1, 1.1, 26))
        colors = _muted(rng, 27)
        image = 0.25 * image + 0.75 * colors[np.searchsorted(edges, c.x + 0.02 * c.y)]
    else:
        image = image * (1 + 0.12 * c.noise(90, octaves=2))[..., None]
    return np.maximum(image, 0.003).astype(np.float32)


def _strands(c: _Canvas, rng: np.random.Generator) -> Field:
    """Hair seen from the front: noise stretched along lines that fall from the crown, in waves."""
    texture = 0.9 * c.noise(170, 12, 2, 1.0) + 0.55 * c.noise(30, 6)
    dx, dy = c.x - rng.uniform(-0.2, 0.2), c.y + 0.85
    wave = rng.uniform(0, 0.03) * np.sin(dy * rng.uniform(5, 14) + 2 * c.noise(4))
    across = np.arctan2(dx + wave, 0.55 + np.abs(dy)) / 1.6
    along = np.hypot(dx, dy) - 1.1
    columns, rows = (((line + 1) * c.side / 2).astype(np.float32) for line in (across, along))
    return cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _neck_and_clothes(
    c: _Canvas, rng: np.random.Generator, image: NDArray[np.float32], skin: Color
) -> NDArray[np.float32]:
    neck = c.inside(
        np.maximum(np.abs(c.x) - rng.uniform(0.28, 0.38) - 0.15 * np.clip(c.y - 0.75, 0, 1), 0.4 - c.y), 0.02
    )
    shadow = 0.22 + 0.5 * np.clip((c.y - 0.72) * 2.2, 0, 1) + 0.05 * c.noise(20, octaves=3)
    image = _mix(image, skin * shadow[..., None], neck)
    cloth = _muted(rng, 1)[0] * rng.uniform(0.3, 1)
    weave = 0.15 * c.noise(110, octaves=2) + 0.2 * c.noise(6, 2)
    if rng.random() < 0.4:
        weave = weave + 0.5 * np.sign(np.sin((c.y + 0.3 * np.abs(c.x)) * rng.uniform(30, 90)))
    collar = rng.uniform(0.8, 0.92) + 0.22 * c.x**2 + rng.uniform(0, 0.2) * np.exp(-((c.x / 0.28) ** 2))
    return _mix(image, cloth * np.clip(0.7 + weave, 0.1, 2)[..., None], c.inside(collar - c.y, 0.01))


class _Mouth:
    """Where lips, teeth and the line between them lie."""

    def __init__(self, c: _Canvas, rng: np.random.Generator) -> None:
        self.width, smile = rng.uniform(0.17, 0.25), rng.uniform(-0.02, 0.09)
        u = c.x / self.width
        taper = np.clip(1 - u**2, 0, 1)
        self.line = 0.46 - smile * (u**2 - 0.3)
        opening = max(0.0, rng.uniform(-0.05, 0.065)) * taper
        bow = 1 - 0.25 * np.exp(-((c.x / 0.03) ** 2))
        self.upper = c.inside(
            np.maximum(self.line - rng.uniform(0.03, 0.06) * taper**0.6 * bow - c.y, c.y - self.line), 0.008
        )
        low = self.line + opening
        self.lower = c.inside(np.maximum(low - c.y, c.y - low - rng.uniform(0.05, 0.085) * taper**0.7), 0.01)
        self.gap = c.inside(np.maximum(self.line - c.y, c.y - low), 0.004) * (opening > 0.012)
        near = np.exp(-(((c.y - self.line) / 0.011) ** 2)) * (np.abs(u) < 1)
        self.crease = near + 0.7 * sum(c.bump(s * self.width, 0.46 - 0.7 * smile, 0.025, 0.02) for s in (-1, 1))
        self.lips = np.maximum(self.upper, self.lower)

    def paint(
        self, c: _Canvas, albedo: NDArray[np.float32], skin: Color, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        painted = rng.random() < 0.25
        tint = (
            rng.uniform([0.35, 0.02, 0.03], [0.6, 0.12, 0.15])
            if painted
            else skin * rng.uniform(0.55, 0.8) * [1.25, 0.75, 0.8]
        )
        folds = (1 + 0.13 * c.noise(70, 7))[..., None]
        albedo = _mix(albedo, tint * folds, self.lips * rng.uniform(0.6, 0.95))
        gums = 0.5 + 0.2 * np.abs(np.sin(c.x * 52)) ** 0.3
        albedo = _mix(albedo, np.array([0.9, 0.85, 0.75]) * gums[..., None], self.gap)
        return _mix(albedo, albedo * np.float32(0.3), 0.8 * np.clip(self.crease, 0, 1) * (1 - 0.8 * self.gap))


def _light(
    c: _Canvas, rng: np.random.Generator, half: float, age: float, light: NDArray[np.float64], mouth: _Mouth
) -> tuple[Field, Field]:
    """Shade and gloss of the head's height field under one lamp and the sky."""
    z = 0.8 * np.sqrt(np.clip(1 - (c.x / (half * 1.08)) ** 2 - ((c.y + 0.05) / 1.0) ** 2, 0.002, 1))
    nose = rng.uniform(0.8, 1.25)
    hills: list[tuple[float, float, float, float, float]] = [
        (0.15 * nose, 0, 0.21, 0.085, 0.075),
        (0.1 * nose, 0, 0.05, 0.05, 0.19),
        (0.05, 0, 0.77, 0.15, 0.09),
    ]
    for s in (-1, 1):
        hills += [
            (0.045, s * 0.075, 0.25, 0.04, 0.04),
            (0.045, s * 0.23, -0.2, 0.17, 0.06),
            (0.05, s * 0.31, 0.2, 0.15, 0.15),
        ]
        hills += [(-0.085, s * 0.245, -0.07, 0.13, 0.075), (-0.03, s * 0.14, 0.02, 0.05, 0.07)]
        hills += [(-0.03 * (0.3 + age), s * 0.2, 0.34, 0.025, 0.1), (-0.02 * age, s * 0.25, 0.05, 0.11, 0.02)]
    for height, cx, cy, rx, ry in hills:
        z = z + height * c.bump(cx, cy, rx, ry)
    z = z - 0.02 * c.bump(0, 0.36, 0.025, 0.05) + 0.028 * cv2.GaussianBlur(mouth.lips, (0, 0), 0.015 / c.pixel)
    z = z - 0.006 * age * np.exp(-(((c.y + 0.45) / 0.16) ** 2)) * np.clip(c.noise(3, 0.12, 2), 0, 2)  # forehead lines
    z = z + (0.0007 + 0.001 * age) * c.noise(50, octaves=3, gain=0.75)  # pores

    gy, gx = np.gradient(z, c.pixel)
    norm = 1 / np.sqrt(gx**2 + gy**2 + 1)
    facing = (-gx * light[0] - gy * light[1] + light[2]) * norm
    middle = _unit([light[0], light[1], light[2] + 1])
    shine = np.clip((-gx * middle[0] - gy * middle[1] + middle[2]) * norm, 0, 1)
    hollow = np.clip((cv2.GaussianBlur(z, (0, 0), 0.08 / c.pixel) - z) * 3.5, -0.15, 0.5)
    key, sky = rng.uniform(0.6, 1.3), rng.uniform(0.08, 0.4)
    shade = key * np.clip((facing + 0.2) / 1.2, 0, 1) ** 1.2 + sky * (0.6 + 0.4 * norm) * (1 - gy * norm * 0.3)
    return (shade * (1 - hollow)).astype(np.float32), (
        rng.uniform(0.03, 0.16) * key * shine ** rng.uniform(14, 40)
    ).astype(np.float32)


def _skin(c: _Canvas, rng: np.random.Generator, skin: Color) -> NDArray[np.float32]:
    """Albedo: the tone, blotches, blood near the surface, freckles, fine grain."""
    blood = sum((c.bump(s * 0.32, 0.2, 0.17, 0.14) for s in (-1, 1)), start=0.8 * c.bump(0, 0.2, 0.09, 0.1))
    tone = skin * (1 + 0.05 * c.noise(5, octaves=3) + 0.05 * c.noise(80, octaves=2))[..., None]
    tone = _mix(tone.astype(np.float32), skin * [1.02, 0.72, 0.7], rng.uniform(0.1, 0.6) * blood)
    spots = np.clip(c.noise(75) - rng.uniform(1.6, 3.2), 0, 1) * (np.abs(c.y - 0.1) < 0.6)
    tone = _mix(tone, skin * [0.65, 0.5, 0.42], np.clip(spots * rng.uniform(0.1, 0.7), 0, 0.5))
    stubble = rng.random() < 0.3
    jaw = np.clip((c.y - 0.28) * 4, 0, 1) * stubble
    return _mix(tone, skin * 0.45, np.clip(0.35 + 0.3 * c.noise(130), 0, 1) * jaw * rng.uniform(0.2, 0.7))


def _eyes(
    c: _Canvas,
    rng: np.random.Generator,
    face: NDArray[np.float32],
    skin: Color,
    hair: Color,
    light: NDArray[np.float64],
    shade: Field,
) -> NDArray[np.float32]:
    iris_color = _between(IRIS, rng.uniform(0, 4))
    width, opening, tilt = rng.uniform(0.105, 0.13), rng.uniform(0.038, 0.062), rng.normal(0, 0.06)
    gaze, radius, pupil = rng.normal(0, 0.012, 2), rng.uniform(0.052, 0.06), rng.uniform(0.018, 0.032)
    lash, brow_y, brow_h, arch = (
        rng.uniform(0.5, 1),
        rng.uniform(0.145, 0.19),
        rng.uniform(0.022, 0.042),
        rng.uniform(0, 0.05),
    )
    brow_hair, fibres = c.noise(110, 2.5, 2, 0.9), rng.uniform(0, 6.3, 8)
    for side in (-1, 1):
        rows, columns = c.window(side * 0.245, -0.12, 0.36)
        whole, face, light_here = face, face[rows, columns], shade[rows, columns]
        cx, cy = c.x[rows, columns], c.y[rows, columns]
        x, y = (cx - side * 0.245) * side, cy + 0.06  # x grows outwards
        y = y + tilt * x
        u = x / width
        upper, lower = -opening * np.clip(1 - np.abs(u) ** 2.3, 0, 1), 0.65 * opening * np.clip(1 - u**2, 0, 1)
        closed = np.maximum(np.maximum(upper - y, y - lower), np.abs(x) - width)
        crease = np.exp(-(((y - 1.55 * upper + 0.014) / 0.012) ** 2)) * (np.abs(u) < 1.05)
        face = _mix(
            face,
            face * np.float32(0.55),
            0.6 * crease + 0.3 * np.exp(-(((y - lower - 0.02) / 0.014) ** 2)) * (np.abs(u) < 0.9),
        )
        ball = np.array([0.72, 0.68, 0.64]) * (0.35 + 0.6 * light_here * np.clip(1.15 - 0.5 * u**2, 0, 1))[..., None]
        rx, ry = cx - side * 0.245 - gaze[0], y + 0.006 - gaze[1]
        r, angle = np.hypot(rx, ry), np.arctan2(ry, rx)
        rays = sum(np.cos((7 + 3 * k) * angle + fibre) for k, fibre in enumerate(fibres)) / 8
        disc = iris_color * np.clip(0.9 + 0.9 * rays - 0.7 * (r / radius) ** 6 + 0.5 * (ry > 0), 0.15, 3)[..., None]
        ball = _mix(ball.astype(np.float32), disc, c.inside(r - radius, 0.012))
        ball = _mix(ball, np.float32(0.004) * np.ones(3, np.float32), c.inside(r - pupil, 0.008))
        ball = ball * (0.45 + 0.55 * np.clip((y - upper) / 0.03, 0, 1))[..., None]  # the lid's shadow
        ball = _mix(
            ball,
            np.ones(3, np.float32),
            0.9 * c.inside(np.hypot(rx - 0.022 * light[0], ry - 0.03 * light[1]) - 0.011, 0.006),
        )
        face = _mix(face, ball, c.inside(closed, 0.006))
        lid = np.exp(-(((y - upper + 0.004) / 0.009) ** 2)) * np.clip(1.1 - np.abs(u) ** 4, 0, 1)
        face = _mix(face, hair * 0.15, np.clip(lash * lid, 0, 1))
        face = _mix(face, skin * 0.3, 0.35 * np.exp(-(((y - lower) / 0.007) ** 2)) * (np.abs(u) < 1))
        v = (x + 0.02) / 0.16
        middle = -brow_y - arch * (1 - (v - 0.35) ** 2) + 0.035 * np.clip(v, 0, 2) ** 2
        brow = c.inside(
            np.maximum(np.abs(y - middle) - brow_h * (1.05 - 0.75 * np.clip(v, 0, 1)), 0.1 * np.abs(v - 0.05) - 0.1),
            0.035,
        )
        face = _mix(
            face,
            hair * 0.4 * (0.6 + light_here[..., None] * 0.5),
            brow * np.clip(0.75 + 0.3 * brow_hair[rows, columns], 0, 1),
        )
        whole[rows, columns] = face
        face = whole
    return face


def _beard(
    c: _Canvas, rng: np.random.Generator, face: NDArray[np.float32], hair: Color, head: Field, mouth: _Mouth
) -> NDArray[np.float32]:
    edge = 0.3 + 0.9 * np.clip(0.42 - np.abs(c.x), 0, 0.3) - 0.25 * (np.abs(c.x) > 0.45)
    moustache = c.inside(np.maximum(np.abs(c.y - 0.375 + 0.3 * c.x**2) - 0.04, np.abs(c.x) - 0.23), 0.03)
    chin = c.inside(edge - c.y + 0.02 * c.noise(30), 0.06) * (head < 0)
    cover = np.maximum(chin, moustache) * (1 - mouth.lips) * (1 - mouth.gap)
    return _mix(
        face,
        hair * np.clip(0.8 + 0.6 * c.noise(110, 3, 2, 0.9), 0.1, 3)[..., None],
        cover * np.clip(rng.uniform(0.5, 0.95) + 0.2 * c.noise(90), 0, 1),
    )


def _glasses(c: _Canvas, rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    rx, ry, thick = rng.uniform(0.15, 0.19), rng.uniform(0.11, 0.16), rng.uniform(0.008, 0.022)
    power, color = rng.uniform(2, 5), rng.uniform(0.005, 0.15, 3)
    for side in (-1, 1):
        u, v = np.abs((c.x - side * 0.245) / rx), np.abs((c.y + 0.035) / ry)
        ring = ((u**power + v**power) ** (1 / power) - 1) * min(rx, ry)
        image = _mix(image, image * np.float32(0.85) + np.float32(0.03), 0.6 * c.inside(ring))
        arm = np.maximum(np.abs(c.y + 0.08) - thick, np.abs(side * c.x - 0.47) - 0.08)
        image = _mix(image, color, c.inside(np.minimum(np.abs(ring) - thick, arm), 0.005))
    return _mix(image, color, c.inside(np.maximum(np.abs(c.y + 0.07) - thick, np.abs(c.x) - 0.245 + rx), 0.005))


def _camera(scene: NDArray[np.float32], rng: np.random.Generator, size: int) -> Pixels:
    """White balance, exposure, gamma, and the lens's slight softness, at the size asked for."""
    if scene.shape[0] != size:
        scene = cv2.resize(scene.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    warmth, exposure = rng.normal(0, 0.07), rng.uniform(0.75, 1.25)
    light = np.clip(scene * exposure * [1 + warmth, 1, 1 - warmth], 0, None)
    return np.round(255 * np.clip(light / (1 + 0.12 * light), 0, 1) ** (1 / 2.2)).astype(np.uint8)
