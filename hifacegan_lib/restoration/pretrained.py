"""The weights that ship with the workbench: found by name, two flavours of one training blended.

    theta(blend) = (1 - blend) * theta_fidelity + blend * theta_realism

The second flavour was trained on from the first, so that every point between them is a network of its own.

On the CPU ONNX Runtime draws them, by one graph without weights that lies beside the flavours, and any ``.onnx`` file.
PyTorch draws the rest and is loaded for it alone: on a GPU, in bfloat16, a checkpoint that was not exported. Exporting
takes it half a minute, so that is a command of its own, done once, and never part of a photograph's time.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors import safe_open

from hifacegan_lib.models import eight_bits
from hifacegan_lib.models.onnx_network import OnnxNetwork
from hifacegan_lib.restoration import photos
from hifacegan_lib.restoration.photo_files import Photo
from hifacegan_lib.restoration.photos import Model, Network, Restored
from hifacegan_lib.utils.files import expanded, sha256
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.utils.machine import find_device

Precision = Literal["float32", "bfloat16", "auto"]
Named = dict[str, NDArray[np.float32]]

FOLDER = Path(__file__).parents[1] / "weights"
FLAVOURS = ("fidelity", "realism")
DEFAULT = "compact-256"
SIZE = 256  # of a frame, for a file that does not say


def names() -> list[str]:
    """Weights by name; each has the flavour fidelity, and perhaps realism."""
    first = f"-{FLAVOURS[0]}.safetensors"
    return sorted(path.name.removesuffix(first) for path in FOLDER.glob(f"*{first}"))


def restore(photo: Photo | Pixels | str | Path, model: Model | str | Path = DEFAULT, **how: Any) -> Restored:
    """Restore every face of a photograph.

    Args:
        photo: an image file, uint8 RGB H x W x 3, or a :class:`Photo`.
        model: of :func:`load_model`, or what it takes: a shipped name or a weights file.
        how: ``detector``, ``strength``, ``scale``, ``least``, see :func:`hifacegan_lib.restoration.photos.restore`.
    Returns:
        ``.image`` (uint8 RGB H x W x 3), ``.faces``, ``.trace`` (what was done, by which weights), ``.save(path)``.
    Raises:
        FileNotFoundError: no such photograph or weights. ValueError: it cannot be decoded, or a setting out of range.
    """
    return photos.restore(photo, model if isinstance(model, Model) else load_model(model), **how)


def find(name: str) -> Path | None:
    """The file of one flavour, "compact-256-realism" say; None: nothing of that name ships."""
    path = FOLDER / f"{name}.safetensors"
    return path if name and Path(name).name == name and path.is_file() else None


def load_model(
    weights: str | Path = DEFAULT, blend: float = 0.0, device: str = "cpu", precision: Precision = "float32"
) -> Model:
    """A model that restores, ready to draw.

    Args:
        weights: a shipped name, or a file: a generator's or an ema.safetensors, or a network exported to ``.onnx``.
        blend: 0 is fidelity, 1 realism; of shipped weights alone.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the features; bfloat16 is PyTorch's autocast, auto takes it where the device is made for it.
    Raises:
        FileNotFoundError: no such name or file. ValueError: no such blend, not a generator's file, an ``.onnx`` file
            elsewhere than on the CPU in float32.
    """
    if not 0 <= blend <= 1:
        raise ValueError(f"blend = {blend}: expected 0 (fidelity) to 1 (realism)")
    path, name = expanded(weights), str(weights)
    if path.suffix in (".safetensors", ".onnx"):
        if blend:
            raise ValueError(f"blend = {blend}: {path} is one network; only shipped weights have two flavours")
        flavours, name = [path], path.name
    elif name in names():
        ends = zip(FLAVOURS, (1 - blend, blend), strict=True)
        flavours = [FOLDER / f"{name}-{flavour}.safetensors" for flavour, share in ends if share]
        if not flavours[-1].is_file():
            raise ValueError(f"blend = {blend:g}: {name} has no flavour {FLAVOURS[1]}; expected 0")
        path, name = FOLDER / f"{name}.onnx", f"{name} (blend {blend:.10g})"
    else:
        shipped = ", ".join(names()) or "none here"
        raise FileNotFoundError(f"weights {name!r}: shipped are {shipped}; or a .safetensors or .onnx file")
    for file in flavours:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such checkpoint")
    marks = " + ".join(sha256(file) for file in flavours)
    exported = path in flavours and path.suffix == ".onnx"
    device = "cpu" if exported and device == "auto" else find_device(device)
    drawn_here = device == "cpu" and precision == "float32"
    if exported and not drawn_here:
        raise ValueError(f"{path}: an .onnx file is drawn on the CPU in float32; got {device}, {precision}")
    if exported or (drawn_here and path.suffix == ".onnx" and path.is_file()):
        network, size, engine = _by_onnx(path, [] if exported else flavours, blend)
    else:
        network, size, engine = _by_torch(flavours, blend, device, precision)
    return Model(network, size, name, marks, engine)


def _by_onnx(graph: Path, flavours: list[Path], blend: float) -> tuple[Network, int, str]:
    """The network, the side of its frame in pixels, and what draws it."""
    engine = f"ONNX Runtime {onnxruntime.__version__}, cpu, float32"
    if not flavours:
        network = OnnxNetwork(graph)
        return network, network.fixed_size or network.info.get("image_size", SIZE), engine
    weights, info = _blended(flavours, blend)
    return OnnxNetwork(graph, weights), info.get("image_size", SIZE), engine


def _by_torch(flavours: list[Path], blend: float, device: str, precision: Precision) -> tuple[Network, int, str]:
    import torch  # here: loading it takes seconds

    from hifacegan_lib.models import checkpoints
    from hifacegan_lib.models.torch_network import TorchNetwork

    generator, info = checkpoints.load_generator(flavours[0], device)
    if len(flavours) == 2:
        weights, info = _blended(flavours, blend)
        generator.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    network = TorchNetwork(generator, precision)
    used = str(network.dtype).removeprefix("torch.")  # what "auto" has become
    return network, info.get("image_size", SIZE), f"PyTorch {torch.__version__}, {device}, {used}"


def _blended(flavours: list[Path], blend: float) -> tuple[Named, dict[str, Any]]:
    """One flavour's weights, or those between two, in float32; and what the first file says."""
    (first, info), *others = (_read(file) for file in flavours)
    return mix(first, others[0][0], blend) if others else first, info


def _read(path: Path) -> tuple[Named, dict[str, Any]]:
    with safe_open(path, framework="np") as file:
        info = json.loads(file.metadata()["hifacegan"])["info"]
        return eight_bits.unpack({name: file.get_tensor(name) for name in file.keys()}), info  # noqa: SIM118


def mix(weights: Named, others: Named, share: float) -> Named:
    """Weights between two networks: ``share`` of the others.

    Raises:
        ValueError: networks of two kinds.
    """
    if {n: v.shape for n, v in weights.items()} != {n: v.shape for n, v in others.items()}:
        raise ValueError("only two networks of one architecture can be blended")
    return {n: np.float32(1 - share) * v + np.float32(share) * others[n] for n, v in weights.items()}


def ship(checkpoint: str | Path, name: str, flavour: str, about: dict[str, Any]) -> Path:
    """Write a training's ``ema.safetensors`` as shipped weights, kernels in eight bits, and the network's graph.

    Spectral norms are divided into the weights first, so that they fit the graph.

    Args:
        about: JSON values that go into the file beside the checkpoint's info: data, licence.
    Raises:
        ValueError: no such flavour; a number is not finite or exceeds half precision. ImportError: no onnx, onnxscript.
    """
    import torch

    from hifacegan_lib.models import checkpoints, exporting
    from hifacegan_lib.models.torch_network import folded

    if flavour not in FLAVOURS:
        raise ValueError(f"flavour = {flavour!r}: expected {' or '.join(FLAVOURS)}")
    generator, info = checkpoints.load_generator(checkpoint)
    network = folded(generator)
    stored = eight_bits.pack({name: value.numpy() for name, value in network.state_dict().items()})
    exporting.export_graph(generator, FOLDER / f"{name}.onnx")
    tensors = {name: torch.from_numpy(value) for name, value in stored.items()}
    return checkpoints.save_tensors(FOLDER / f"{name}-{flavour}.safetensors", network, tensors, {**info, **about})
