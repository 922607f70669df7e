"""Restorers by name or file; the weights that ship with the workbench, two flavours of one training blended.

    theta(blend) = (1 - blend) * theta_fidelity + blend * theta_realism

The second flavour was trained on from the first, so that every point between them is a network of its own.

On the CPU ONNX Runtime draws them, by one graph without weights that lies beside the flavours. PyTorch is loaded only
for a GPU, for bfloat16 and for files of tensors (:mod:`hifacegan_lib.restoration.restorer_files`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.models import quantized
from hifacegan_lib.models.onnx_network import OnnxNetwork
from hifacegan_lib.restoration import photos, restorer_files
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photo_files import Photo
from hifacegan_lib.restoration.photos import FRAME, Model, Restored
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.files import expanded, sha256
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.utils.machine import find_device

Precision = Literal["float32", "bfloat16", "auto"]
Licence = Literal["any"]
Named = dict[str, NDArray[np.float32]]

FOLDER = Path(__file__).parents[1] / "weights"
FLAVOURS = ("fidelity", "realism")
DEFAULT, FOR_ANY_USE = "compact-256", "open-256"
FREE = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "Unlicense")
"""Licences, as SPDX names them, of weights that serve any purpose."""
FETCHED = ("realesrgan-x4plus",)  # restorers of the registry of published weights


def names() -> list[str]:
    """Weights by name; each has the flavour fidelity, and perhaps realism."""
    first = f"-{FLAVOURS[0]}.safetensors"
    return sorted(path.name.removesuffix(first) for path in FOLDER.glob(f"*{first}"))


def restore(photo: Photo | Pixels | str | Path, model: Model | str | Path = DEFAULT, **how: Any) -> Restored:
    """Restore every face of a photograph.

    Args:
        photo: an image file, uint8 RGB H x W x 3, or a :class:`Photo`.
        model: of :func:`load_model`, or what it takes: a name or a file.
        how: ``detector``, ``strength``, ``scale``, ``least``, see :func:`hifacegan_lib.restoration.photos.restore`.
    Returns:
        ``.image`` (uint8 RGB H x W x 3), ``.faces``, ``.trace`` (what was done, by which weights), ``.save(path)``.
    Raises:
        FileNotFoundError: no such photograph or weights. ValueError: it cannot be decoded, or a setting out of range.
    """
    return photos.restore(photo, model if isinstance(model, Model) else load_model(model), **how)


def find(name: str) -> Path | None:
    """The file of a flavour, "compact-256-realism" say, or of fidelity, "compact-256"; None: no shipped name."""
    files = (FOLDER / f"{name}{end}.safetensors" for end in ("", f"-{FLAVOURS[0]}"))
    return next((file for file in files if name and Path(name).name == name and file.is_file()), None)


def load_model(
    weights: str | Path | None = None,
    blend: float = 0.0,
    device: str = "cpu",
    precision: Precision = "float32",
    steps: int | None = None,
    network: Any = None,
    licence: Licence | None = None,
) -> Model:
    """A restorer, ready to draw.

    Args:
        weights: None: ``compact-256``, or ``open-256`` where ``licence`` is "any". Else a shipped name;
            ``realesrgan-x4plus``, once fetched; a file: a generator of this workbench, a published HiFaceGAN, a network
            that spandrel recognises (.safetensors, .pth, .pt, .ckpt), an ``.onnx`` file that takes and gives RGB in
            [0, 1]; or a folder of faces that somebody restored.
        blend: 0 is fidelity, 1 realism; of shipped weights alone.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the features; bfloat16 is PyTorch's autocast, auto takes it where the device is made for it.
        steps: of a flow: its network's passes for a face; None: as it was trained.
        network: an ``nn.Module`` for the weights of a class of your own.
        licence: "any": only weights that serve any purpose, commercial ones among them; None: any weights.
    Returns:
        ``.restore(faces)`` restores faces of any size, uint8 H x W x 3; ``.card`` says what it is.
    Raises:
        FileNotFoundError: no such name, file or folder. ValueError: no such blend, steps of no flow; a file that no
            reader recognises (the message says what was tried), that is cut off, or that holds code; an ``.onnx`` file
            elsewhere than on the CPU in float32; weights whose licence is not :data:`FREE`, where ``licence`` asks.
    """
    if weights is None:
        weights = FOR_ANY_USE if licence else DEFAULT
    found = _load(weights, blend, device, precision, network)
    if licence and found.card.licence not in FREE:
        given = found.card.licence or "no licence that is named"
        raise ValueError(f"{found.name}: {given}; licence = any expects one of {', '.join(FREE)}, as {FOR_ANY_USE} has")
    if network is None:
        where = weights if is_name(str(weights)) else str(expanded(weights).absolute())
        found = replace(found, loader=(load_model, (where, blend, device, precision, steps)))
    return found if steps is None else restorer_files.with_steps(found, steps)


def _load(weights: str | Path, blend: float, device: str, precision: Precision, network: Any) -> Model:
    if not 0 <= blend <= 1:
        raise ValueError(f"blend = {blend}: expected 0 (fidelity) to 1 (realism)")
    name, path = str(weights), expanded(weights)
    if name in names():
        return _shipped(name, blend, device, precision)
    if blend:
        raise ValueError(f"blend = {blend}: {path} is one network; only shipped weights have two flavours")
    if name in FETCHED:
        found = restorer_files.load(weight_registry.verify(name), device, precision)
        return replace(found, card=replace(found.card, name=name, licence=weight_registry.REGISTRY[name].licence))
    if not path.exists():
        shipped = f"shipped are {', '.join(names()) or 'none here'}; fetched can be {', '.join(FETCHED)}"
        raise FileNotFoundError(f"weights {name!r}: {shipped}; and no file or folder has this path")
    return restorer_files.load(path, device, precision, network)


def is_name(weights: str) -> bool:
    """Whether :func:`load_model` takes this for a name and not for a path."""
    return weights in (*names(), *FETCHED)


def _shipped(name: str, blend: float, device: str, precision: Precision) -> Model:
    """The flavours of a name, blended: by ONNX Runtime on the CPU in float32, else by PyTorch."""
    ends = zip(FLAVOURS, (1 - blend, blend), strict=True)
    flavours = [FOLDER / f"{name}-{flavour}.safetensors" for flavour, share in ends if share]
    if not flavours[-1].is_file():
        raise ValueError(f"blend = {blend:g}: {name} has no flavour {FLAVOURS[1]}; expected 0")
    (weights, info), *others = map(quantized.read, flavours)
    if others:
        weights = mix(weights, others[0][0], blend)
    marks = " + ".join(sha256(file) for file in flavours)
    size, count = info.get("image_size", FRAME), sum(values.size for values in weights.values())
    about = {"licence": info.get("license"), "size": size, "recolours": info.get("recolours", False)}
    card = Card(f"{name} (blend {blend:.10g})", restorer_files.OURS, count, marks, **about)
    device, graph = find_device(device), FOLDER / f"{name}.onnx"
    if (device, precision) == ("cpu", "float32") and graph.is_file():
        return Model(OnnxNetwork(graph, weights), card, restorer_files.onnx_engine())
    import torch  # here: loading it takes seconds

    from hifacegan_lib.models import checkpoints

    generator, _ = checkpoints.load_generator(flavours[0], device)
    if len(flavours) == 2:
        generator.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return restorer_files.of_generator(generator, card, precision)


def mix(weights: Named, others: Named, share: float) -> Named:
    """Weights between two networks: ``share`` of the others.

    Raises:
        ValueError: networks of two kinds.
    """
    if {n: v.shape for n, v in weights.items()} != {n: v.shape for n, v in others.items()}:
        raise ValueError("only two networks of one architecture can be blended")
    return {n: np.float32(1 - share) * v + np.float32(share) * others[n] for n, v in weights.items()}


def ship(checkpoint: str | Path, name: str, flavour: str, about: dict[str, Any], base: str = "") -> Path:
    """Write a training's ``ema.safetensors`` as shipped weights, kernels in few bits, and the network's graph.

    Spectral norms are divided into the weights first, so that they fit the graph.

    Args:
        about: JSON values that go into the file beside the checkpoint's info: data, licence.
        base: a shipped flavour from which the network was trained on, "compact-256-fidelity" say: the kernels'
            differences are stored in four bits; empty: kernels in eight bits.
    Raises:
        ValueError: no such flavour; no such base, or one of another architecture; a number is not finite or exceeds
            half precision. ImportError: no onnx, onnxscript.
    """
    import torch

    from hifacegan_lib.models import checkpoints, exporting
    from hifacegan_lib.models.torch_network import folded

    if flavour not in FLAVOURS:
        raise ValueError(f"flavour = {flavour!r}: expected {' or '.join(FLAVOURS)}")
    first = find(base)
    if base and first is None:
        raise ValueError(f"base = {base!r}: no shipped flavour has this name")
    generator, info = checkpoints.load_generator(checkpoint)
    network = folded(generator)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    base_weights = quantized.read(first)[0] if first else None
    if base_weights:
        mix(weights, base_weights, 0)  # raises for another architecture
    stored = quantized.pack(weights, base_weights)
    exporting.export_graph(generator, FOLDER / f"{name}.onnx")
    tensors = {name: torch.from_numpy(value) for name, value in stored.items()}
    file = FOLDER / f"{name}-{flavour}.safetensors"
    return checkpoints.save_generator(file, network, {**info, **about}, tensors, base)
