"""The surroundings of a drawn face: background, neck and clothes, and a camera that converts light to pixels."""

import cv2
import numpy as np

from hifacegan_lib.data.drawn_shapes import Canvas, Color, Scene, mix, muted
from hifacegan_lib.utils.images import Pixels


def background(c: Canvas) -> Scene:
    """Draw a textured background: a wall, foliage, defocused lights or shelves."""
    rng = c.rng
    first, second = muted(rng, 2)
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
            image = mix(image, 1.6 * muted(rng, 1)[0], rng.uniform(0.15, 0.6) * disc)
    elif kind == "shelves":
        edges = np.sort(rng.uniform(-1.1, 1.1, 26))
        colors = muted(rng, 27)
        image = 0.25 * image + 0.75 * colors[np.searchsorted(edges, c.x + 0.02 * c.y)]
    else:
        image = image * (1 + 0.12 * c.noise(90, octaves=2))[..., None]
    return np.maximum(image, 0.003).astype(np.float32)


def neck_and_clothes(c: Canvas, image: Scene, skin: Color) -> Scene:
    rng = c.rng
    side = np.abs(c.x) - rng.uniform(0.28, 0.38) - 0.15 * np.clip(c.y - 0.75, 0, 1)
    neck = c.inside(np.maximum(side, 0.4 - c.y), 0.02)
    shadow = 0.22 + 0.5 * np.clip((c.y - 0.72) * 2.2, 0, 1) + 0.05 * c.noise(20, octaves=3)
    image = mix(image, skin * shadow[..., None], neck)
    cloth = muted(rng, 1)[0] * rng.uniform(0.3, 1)
    weave = 0.15 * c.noise(110, octaves=2) + 0.2 * c.noise(6, 2)
    if rng.random() < 0.4:
        weave = weave + 0.5 * np.sign(np.sin((c.y + 0.3 * np.abs(c.x)) * rng.uniform(30, 90)))
    collar = rng.uniform(0.8, 0.92) + 0.22 * c.x**2 + rng.uniform(0, 0.2) * np.exp(-((c.x / 0.28) ** 2))
    return mix(image, cloth * np.clip(0.7 + weave, 0.1, 2)[..., None], c.inside(collar - c.y, 0.01))


def camera(scene: Scene, rng: np.random.Generator, size: int) -> Pixels:
    """Resize the scene to ``size`` and apply white balance, exposure and gamma: uint8 size x size x 3."""
    if scene.shape[0] != size:
        scene = cv2.resize(scene.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    warmth, exposure = rng.normal(0, 0.07), rng.uniform(0.75, 1.25)
    light = np.clip(scene * exposure * [1 + warmth, 1, 1 - warmth], 0, None)
    return np.round(255 * np.clip(light / (1 + 0.12 * light), 0, 1) ** (1 / 2.2)).astype(np.uint8)
