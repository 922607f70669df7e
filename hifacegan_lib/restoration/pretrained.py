"""The weights that ship with the workbench: found by name, two flavours of one training blended.

    theta(blend) = (1 - blend) * theta_fidelity + blend * theta_realism

The second flavour was trained on from the first, so that every point between them is a network of its own.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from hifacegan_lib.models import baking, checkpoints
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.restoration import photos
from hifacegan_lib.restoration.photo_files import Photo
from hifacegan_lib.restoration.photos import Model, Restored
from hifacegan_lib.utils.images import Pixels

FOLDER = Path(__file__).parents[1] / "weights"
FLAVOURS = ("fidelity", "realism")
DEFAULT = "compact-256"
SIZE = 256  # of a frame, for a file that does not say


def names() -> list[str]:
    """Weights by name: each has a file for every flavour."""
    first = f"-{FLAVOURS[0]}.safetensors"
    return sorted(path.name.removesuffix(first) for path in FOLDER.glob(f"*{first}"))


def restore(photo: Photo | Pixels, weights: str | Path = DEFAULT, blend: float = 0.0, **how: Any) -> Restored:
    """Restore every face of a photograph: uint8 RGB, H x W x 3, or what ``read_photo`` gives; by these weights.

    Args:
        how: as :func:`hifacegan_lib.restoration.photos.restore` has it: detector, strength, scale, least.
    Raises:
        As that and :func:`load`.
    """
    return photos.restore(photo, _ready(str(weights), blend), **how)


@lru_cache(maxsize=2)
def _ready(weights: str, blend: float) -> Model:
    return load(weights, blend)


def find(name: str) -> Path | None:
    """The file of one flavour, "compact-256-realism" say; None: nothing of that name ships."""
    path = FOLDER / f"{name}.safetensors"
    return path if name and Path(name).name == name and path.is_file() else None


def load(
    weights: str | Path = DEFAULT, blend: float = 0.0, device: str = "cpu", precision: baking.Precision = "float32"
) -> Model:
    """A model that restores, ready to draw.

    Args:
        weights: a shipped name, or a file: a generator's or an ema.safetensors.
        blend: 0 is fidelity, 1 realism; of shipped weights alone.
    Raises:
        FileNotFoundError: no such name or file. ValueError: no such blend, not a generator's file.
    """
    if not 0 <= blend <= 1:
        raise ValueError(f"blend = {blend}: expected 0 (fidelity) to 1 (realism)")
    path = Path(weights)
    if path.suffix == ".safetensors":
        if blend:
            raise ValueError(f"blend = {blend}: {path} is one network; only shipped weights have two flavours")
        files = [path]
    elif str(weights) in names():
        files = [FOLDER / f"{weights}-{flavour}.safetensors" for flavour in FLAVOURS]
    else:
        raise FileNotFoundError(
            f"weights {str(weights)!r}: shipped are {', '.join(names()) or 'none here'}; or a .safetensors file"
        )
    wanted = [file for file, share in zip(files, (1 - blend, blend), strict=False) if share]
    loaded = [checkpoints.load_generator(file, device) for file in wanted]
    generator, info = loaded[0]
    if len(loaded) == 2:
        mix(generator, loaded[1][0], blend)
    name = path.name if path.suffix else f"{weights} (blend {blend:g})"
    marks = [hashlib.sha256(file.read_bytes()).hexdigest() for file in wanted]
    baked = baking.bake(generator, precision)
    return Model(lambda faces: baked(faces).clamp(0, 1), info.get("image_size", SIZE), name, " + ".join(marks), device)


def ship(checkpoint: str | Path, name: str, flavour: str, about: dict[str, Any]) -> Path:
    """Write a training's ``ema.safetensors`` as shipped weights, each number rounded to half precision.

    Args:
        about: JSON values that go into the file beside what the checkpoint says: data, licence.
    Raises:
        ValueError: no such flavour; a number that half precision cannot hold.
    """
    if flavour not in FLAVOURS:
        raise ValueError(f"flavour = {flavour!r}: expected {' or '.join(FLAVOURS)}")
    generator, info = checkpoints.load_generator(checkpoint)
    half = generator.half()
    if not all(value.isfinite().all() for value in half.state_dict().values()):
        raise ValueError(f"{checkpoint}: holds numbers beyond half precision's 65504")
    return checkpoints.save_generator(FOLDER / f"{name}-{flavour}.safetensors", half, {**info, **about})


def mix(generator: Generator, other: Generator, share: float) -> None:
    """``share`` of the other's weights, in place.

    Raises:
        ValueError: networks of two kinds.
    """
    if generator.config != other.config:
        raise ValueError("only two networks of one architecture can be blended")
    theirs = other.state_dict()
    generator.load_state_dict({name: value.lerp(theirs[name], share) for name, value in generator.state_dict().items()})
