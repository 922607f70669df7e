"""Procedural portraits: faces of no real person, drawn from a seed, for training and tests without a data set.

A face is a height field with light from one side. Everything is a function of (x, y) in [-1, 1] x [-1, 1], y downwards,
with the crop of aligned photographs: the eyes at 45% of the height, the head filling the square. Layers, back to front:

    background, clothes, neck, hair behind | head: skin albedo x light(normal of the height field) | eyes, brows, mouth
    | beard, hair in front, glasses | camera

The order and the number of random draws do not depend on the size, and textures have grids of fixed sizes, so a seed
gives the same person at every size. The faces do not represent human variety; they only serve as images to restore.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.data.drawn_scenery import background, camera, neck_and_clothes
from hifacegan_lib.data.drawn_shapes import Canvas, Color, Field, Scene, between, color, darken, mix
from hifacegan_lib.utils.images import Pixels

SKIN = np.array([[0.90, 0.66, 0.53], [0.80, 0.54, 0.40], [0.62, 0.38, 0.26], [0.40, 0.23, 0.15], [0.22, 0.12, 0.08]])
HAIR = np.array([[0.02, 0.017, 0.015], [0.06, 0.03, 0.018], [0.16, 0.08, 0.04], [0.4, 0.26, 0.12], [0.3, 0.1, 0.04]])
IRIS = np.array([[0.08, 0.04, 0.02], [0.16, 0.09, 0.04], [0.12, 0.16, 0.08], [0.14, 0.22, 0.3], [0.2, 0.24, 0.26]])


def portrait(seed: int, size: int = 256) -> Pixels:
    """Draw one portrait: uint8 size x size x 3. A seed gives the same person at every size.

    Raises:
        ValueError: ``size`` below 16, or a negative ``seed``.
    """
    if size < 16:
        raise ValueError(f"size = {size}: expected at least 16 pixels")
    if seed < 0:
        raise ValueError(f"seed = {seed}: expected 0 or more")
    rng = np.random.default_rng(seed)
    return camera(_paint(Canvas(rng, size if size > 160 else round(1.5 * size))), rng, size)


def _paint(c: Canvas) -> Scene:
    """The scene in linear light, side x side x 3."""
    rng = c.rng
    skin = between(SKIN, rng.uniform(0, 4)) * color(rng.uniform(0.92, 1.08, 3))
    hair = between(HAIR, rng.uniform(0, 4)) if rng.random() > 0.15 else color([rng.uniform(0.25, 0.6)] * 3)
    age, style = rng.random(), rng.choice(["short", "long", "fringe", "bald"], p=[0.4, 0.35, 0.15, 0.1])
    light = _unit([rng.uniform(-1.1, 1.1), -rng.uniform(0.1, 0.9), 1.0])
    yaw, roll = float(np.clip(rng.normal(0, 0.12), -0.3, 0.3)), rng.normal(0, 0.06)

    image = background(c)
    cos, sin = float(np.cos(roll)), float(np.sin(roll))
    c.x, c.y = c.x * cos + c.y * sin, c.y * cos - c.x * sin
    half, jaw = rng.uniform(0.53, 0.6), rng.uniform(0.05, 0.22)
    outline = np.clip(1 - np.abs((c.y + 0.05) / 0.93) ** rng.uniform(2.2, 2.7), 1e-4, 1) ** 0.5 * half
    outline *= 1 - jaw * np.clip((c.y - 0.1) / 0.8, 0, 1) ** 2
    head = np.abs(c.x) - outline  # negative inside

    strands = _strands(c)[..., None]
    hair_color = hair * np.clip(0.75 + 0.42 * strands, 0.12, 2.4) + 0.05 * np.clip(strands - 0.8, 0, 1)
    volume = rng.uniform(0.05, 0.16)
    if style != "bald":
        behind = _skull(c, half + volume, 0.88 + volume) * half
        if style == "long":
            fall = np.abs(c.x) - (half + volume) * (1 + 0.12 * c.y) - 0.015 * c.noise(9)
            behind = np.minimum(behind, np.maximum(fall, -c.y - 0.1))
        image = mix(image, hair_color, c.inside(behind + 0.012 * c.noise(40), 0.02))

    image = neck_and_clothes(c, image, skin)
    for side in (-1, 1):
        ear = c.disc(side * (half + 0.005) - 0.1 * yaw, 0.05, 0.055, 0.15, 0.02)
        lobe = skin * (0.5 + 0.35 * c.bump(side * half, 0.05, 0.05, 0.1))[..., None]
        image = mix(image, lobe, ear * (style != "long"))

    c.x = c.x + yaw * 0.3 * np.sqrt(np.clip(1 - (c.x / 0.7) ** 2, 0, 1))  # features turn with the head
    mouth = _Mouth(c)
    shade, gloss = _light(c, half, age, light, mouth)
    face = mouth.paint(c, _skin(c, skin), skin) * shade[..., None] + gloss[..., None]
    face = _eyes(c, face, skin, hair, light, shade)
    nostrils = sum(c.disc(side * 0.06, 0.275, 0.034, 0.016, 0.02) for side in (-1, 1))
    face = darken(face, 0.25, 0.9 * nostrils)
    if rng.random() < 0.3:
        face = _beard(c, face, hair, head, mouth)
    image = mix(image, face, c.inside(head, 0.015))

    if style != "bald":
        top, bend, middle = rng.uniform(-0.72, -0.52), rng.uniform(0.1, 0.5), rng.uniform(-0.3, 0.3)
        line = top + bend * (c.x - middle) ** 2 + 0.02 * c.noise(24) + (0.3 if style == "fringe" else 0)
        burns = np.clip((c.y - rng.uniform(-0.15, 0.2)) * 3, 0, 1) ** 2
        sides = half * rng.uniform(0.84, 0.97) - np.abs(c.x) + 0.015 * c.noise(16) + 0.4 * burns
        front = np.minimum(c.y - line, sides if style != "long" else sides + 0.02)
        crown = _skull(c, half + volume, 0.88 + volume) * half
        cover = c.inside(np.maximum(front, crown) + 0.012 * c.noise(60), 0.03)
        image = darken(image, 0.75, 0.6 * cv2.GaussianBlur(cover, (0, 0), 0.03 / c.pixel))
        image = mix(image, hair_color * (0.65 + 0.5 * shade[..., None]), cover)
    if rng.random() < 0.18:
        image = _glasses(c, image)
    return image


def _unit(vector: list[float]) -> NDArray[np.float64]:
    return np.array(vector) / np.linalg.norm(vector)


def _skull(c: Canvas, rx: float, ry: float) -> Field:
    """Distance from a rounded box around the head, in units of its radii; negative inside."""
    return (np.abs(c.x / rx) ** 2.5 + np.abs((c.y + 0.15) / ry) ** 2.5) ** 0.4 - 1


def _strands(c: Canvas) -> Field:
    """The texture of hair: noise stretched along wavy lines that fall from the crown."""
    rng, texture = c.rng, 0.9 * c.noise(170, 12, 2, 1.0) + 0.55 * c.noise(30, 6)
    dx, dy = c.x - rng.uniform(-0.2, 0.2), c.y + 0.85
    wave = rng.uniform(0, 0.03) * np.sin(dy * rng.uniform(5, 14) + 2 * c.noise(4))
    across = np.arctan2(dx + wave, 0.55 + np.abs(dy)) / 1.6
    along = np.hypot(dx, dy) - 1.1
    columns, rows = (((line + 1) * c.side / 2).astype(np.float32) for line in (across, along))
    return cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


class _Mouth:
    """Masks of the lips, the teeth and the line between the lips."""

    def __init__(self, c: Canvas) -> None:
        rng = c.rng
        self.width, smile = rng.uniform(0.17, 0.25), rng.uniform(-0.02, 0.09)
        u = c.x / self.width
        taper = np.clip(1 - u**2, 0, 1)
        self.line = 0.46 - smile * (u**2 - 0.3)
        opening = max(0.0, rng.uniform(-0.05, 0.065)) * taper
        bow = 1 - 0.25 * np.exp(-((c.x / 0.03) ** 2))
        high = self.line - rng.uniform(0.03, 0.06) * taper**0.6 * bow
        self.upper = c.inside(np.maximum(high - c.y, c.y - self.line), 0.008)
        low = self.line + opening
        self.lower = c.inside(np.maximum(low - c.y, c.y - low - rng.uniform(0.05, 0.085) * taper**0.7), 0.01)
        self.gap = c.inside(np.maximum(self.line - c.y, c.y - low), 0.004) * (opening > 0.012)
        near = np.exp(-(((c.y - self.line) / 0.011) ** 2)) * (np.abs(u) < 1)
        self.crease = near + 0.7 * sum(c.bump(s * self.width, 0.46 - 0.7 * smile, 0.025, 0.02) for s in (-1, 1))
        self.lips = np.maximum(self.upper, self.lower)

    def paint(self, c: Canvas, albedo: Scene, skin: Color) -> Scene:
        rng = c.rng
        if rng.random() < 0.25:  # lipstick
            tint = rng.uniform([0.35, 0.02, 0.03], [0.6, 0.12, 0.15])
        else:
            tint = skin * rng.uniform(0.55, 0.8) * [1.25, 0.75, 0.8]
        folds = (1 + 0.13 * c.noise(70, 7))[..., None]
        albedo = mix(albedo, tint * folds, self.lips * rng.uniform(0.6, 0.95))
        gums = 0.5 + 0.2 * np.abs(np.sin(c.x * 52)) ** 0.3
        albedo = mix(albedo, np.array([0.9, 0.85, 0.75]) * gums[..., None], self.gap)
        return darken(albedo, 0.3, 0.8 * np.clip(self.crease, 0, 1) * (1 - 0.8 * self.gap))


def _light(c: Canvas, half: float, age: float, light: NDArray[np.float64], mouth: _Mouth) -> tuple[Field, Field]:
    """Diffuse shade and specular gloss of the head's height field, lit by one lamp and the sky."""
    rng, z = c.rng, 0.8 * np.sqrt(np.clip(1 - (c.x / (half * 1.08)) ** 2 - ((c.y + 0.05) / 1.0) ** 2, 0.002, 1))
    nose = rng.uniform(0.8, 1.25)
    hills = [(0.15 * nose, 0.0, 0.21, 0.085, 0.075), (0.1 * nose, 0, 0.05, 0.05, 0.19), (0.05, 0, 0.77, 0.15, 0.09)]
    for s in (-1, 1):
        hills += [(0.045, s * 0.075, 0.25, 0.04, 0.04), (0.045, s * 0.23, -0.2, 0.17, 0.06)]
        hills += [(0.05, s * 0.31, 0.2, 0.15, 0.15), (-0.085, s * 0.245, -0.07, 0.13, 0.075)]
        hills += [(-0.03, s * 0.14, 0.02, 0.05, 0.07), (-0.03 * (0.3 + age), s * 0.2, 0.34, 0.025, 0.1)]
        hills += [(-0.02 * age, s * 0.25, 0.05, 0.11, 0.02)]
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
    gloss = rng.uniform(0.03, 0.16) * key * shine ** rng.uniform(14, 40)
    return (shade * (1 - hollow)).astype(np.float32), gloss.astype(np.float32)


def _skin(c: Canvas, skin: Color) -> Scene:
    """Albedo of the skin: tone, blotches, blood near the surface, freckles, fine grain."""
    rng = c.rng
    blood = sum((c.bump(s * 0.32, 0.2, 0.17, 0.14) for s in (-1, 1)), start=0.8 * c.bump(0, 0.2, 0.09, 0.1))
    tone = skin * (1 + 0.05 * c.noise(5, octaves=3) + 0.05 * c.noise(80, octaves=2))[..., None]
    tone = mix(tone.astype(np.float32), skin * [1.02, 0.72, 0.7], rng.uniform(0.1, 0.6) * blood)
    spots = np.clip(c.noise(75) - rng.uniform(1.6, 3.2), 0, 1) * (np.abs(c.y - 0.1) < 0.6)
    tone = mix(tone, skin * [0.65, 0.5, 0.42], np.clip(spots * rng.uniform(0.1, 0.7), 0, 0.5))
    jaw = np.clip((c.y - 0.28) * 4, 0, 1) * (rng.random() < 0.3)  # three in ten have stubble
    return mix(tone, skin * 0.45, np.clip(0.35 + 0.3 * c.noise(130), 0, 1) * jaw * rng.uniform(0.2, 0.7))


def _eyes(c: Canvas, face: Scene, skin: Color, hair: Color, light: NDArray[np.float64], shade: Field) -> Scene:
    rng = c.rng
    iris_color = between(IRIS, rng.uniform(0, 4))
    width, opening, tilt = rng.uniform(0.105, 0.13), rng.uniform(0.038, 0.062), rng.normal(0, 0.06)
    gaze, radius, pupil = rng.normal(0, 0.012, 2), rng.uniform(0.052, 0.06), rng.uniform(0.018, 0.032)
    lash, brow_y = rng.uniform(0.5, 1), rng.uniform(0.145, 0.19)
    brow_h, arch = rng.uniform(0.022, 0.042), rng.uniform(0, 0.05)
    brow_hair, fibres = c.noise(110, 2.5, 2, 0.9), rng.uniform(0, 6.3, 8)
    for side in (-1, 1):
        rows, columns = c.window(side * 0.245, -0.12, 0.36)
        eye, light_here = face[rows, columns], shade[rows, columns]
        cx, cy = c.x[rows, columns], c.y[rows, columns]
        x, y = (cx - side * 0.245) * side, cy + 0.06  # x grows outwards
        y = y + tilt * x
        u = x / width
        upper, lower = -opening * np.clip(1 - np.abs(u) ** 2.3, 0, 1), 0.65 * opening * np.clip(1 - u**2, 0, 1)
        closed = np.maximum(np.maximum(upper - y, y - lower), np.abs(x) - width)
        crease = np.exp(-(((y - 1.55 * upper + 0.014) / 0.012) ** 2)) * (np.abs(u) < 1.05)
        pouch = np.exp(-(((y - lower - 0.02) / 0.014) ** 2)) * (np.abs(u) < 0.9)
        eye = darken(eye, 0.55, 0.6 * crease + 0.3 * pouch)
        ball = np.array([0.72, 0.68, 0.64]) * (0.35 + 0.6 * light_here * np.clip(1.15 - 0.5 * u**2, 0, 1))[..., None]
        rx, ry = cx - side * 0.245 - gaze[0], y + 0.006 - gaze[1]
        r, angle = np.hypot(rx, ry), np.arctan2(ry, rx)
        rays = sum(np.cos((7 + 3 * k) * angle + fibre) for k, fibre in enumerate(fibres)) / 8
        disc = iris_color * np.clip(0.9 + 0.9 * rays - 0.7 * (r / radius) ** 6 + 0.5 * (ry > 0), 0.15, 3)[..., None]
        ball = mix(ball.astype(np.float32), disc, c.inside(r - radius, 0.012))
        ball = mix(ball, np.float32(0.004) * np.ones(3, np.float32), c.inside(r - pupil, 0.008))
        ball = ball * (0.45 + 0.55 * np.clip((y - upper) / 0.03, 0, 1))[..., None]  # the lid's shadow
        glint = c.inside(np.hypot(rx - 0.022 * light[0], ry - 0.03 * light[1]) - 0.011, 0.006)
        ball = mix(ball, np.ones(3, np.float32), 0.9 * glint)
        eye = mix(eye, ball, c.inside(closed, 0.006))
        lid = np.exp(-(((y - upper + 0.004) / 0.009) ** 2)) * np.clip(1.1 - np.abs(u) ** 4, 0, 1)
        eye = mix(eye, hair * 0.15, np.clip(lash * lid, 0, 1))
        eye = mix(eye, skin * 0.3, 0.35 * np.exp(-(((y - lower) / 0.007) ** 2)) * (np.abs(u) < 1))
        v = (x + 0.02) / 0.16
        middle = -brow_y - arch * (1 - (v - 0.35) ** 2) + 0.035 * np.clip(v, 0, 2) ** 2
        brow = np.abs(y - middle) - brow_h * (1.05 - 0.75 * np.clip(v, 0, 1))
        cover = c.inside(np.maximum(brow, 0.1 * np.abs(v - 0.05) - 0.1), 0.035)
        cover = cover * np.clip(0.75 + 0.3 * brow_hair[rows, columns], 0, 1)
        face[rows, columns] = mix(eye, hair * 0.4 * (0.6 + light_here[..., None] * 0.5), cover)
    return face


def _beard(c: Canvas, face: Scene, hair: Color, head: Field, mouth: _Mouth) -> Scene:
    edge = 0.3 + 0.9 * np.clip(0.42 - np.abs(c.x), 0, 0.3) - 0.25 * (np.abs(c.x) > 0.45)
    moustache = c.inside(np.maximum(np.abs(c.y - 0.375 + 0.3 * c.x**2) - 0.04, np.abs(c.x) - 0.23), 0.03)
    chin = c.inside(edge - c.y + 0.02 * c.noise(30), 0.06) * (head < 0)
    cover = np.maximum(chin, moustache) * (1 - mouth.lips) * (1 - mouth.gap)
    hairs = hair * np.clip(0.8 + 0.6 * c.noise(110, 3, 2, 0.9), 0.1, 3)[..., None]
    return mix(face, hairs, cover * np.clip(c.rng.uniform(0.5, 0.95) + 0.2 * c.noise(90), 0, 1))


def _glasses(c: Canvas, image: Scene) -> Scene:
    rng = c.rng
    rx, ry, thick = rng.uniform(0.15, 0.19), rng.uniform(0.11, 0.16), rng.uniform(0.008, 0.022)
    power, color = rng.uniform(2, 5), rng.uniform(0.005, 0.15, 3)
    for side in (-1, 1):
        u, v = np.abs((c.x - side * 0.245) / rx), np.abs((c.y + 0.035) / ry)
        ring = ((u**power + v**power) ** (1 / power) - 1) * min(rx, ry)
        image = mix(image, image * np.float32(0.85) + np.float32(0.03), 0.6 * c.inside(ring))
        arm = np.maximum(np.abs(c.y + 0.08) - thick, np.abs(side * c.x - 0.47) - 0.08)
        image = mix(image, color, c.inside(np.minimum(np.abs(ring) - thick, arm), 0.005))
    return mix(image, color, c.inside(np.maximum(np.abs(c.y + 0.07) - thick, np.abs(c.x) - 0.245 + rx), 0.005))
