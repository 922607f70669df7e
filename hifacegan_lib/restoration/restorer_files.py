"""Files of restorers, ours and everybody's: what a file is shows its content, and no code from a file runs.

    folder                              faces that somebody restored
    .onnx                               a network for ONNX Runtime
    .safetensors with our description   a generator of this workbench
    ncnn's tag at the start             Real-ESRGAN x4plus
    other tensors                       published HiFaceGAN, else any network that spandrel recognises

Tensors come as safetensors or by ``torch.save``; a pickle that holds anything else is refused before it is read.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from hifacegan_lib.models.onnx_network import OnnxNetwork
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import FRAME, Model
from hifacegan_lib.utils import inputs
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.machine import find_device

OURS = "HiFaceGAN, this workbench's"
PUBLISHED_SIZE = 512  # pixels; at which the published HiFaceGAN was trained


def load(path: Path, device: str, precision: Any, network: Any = None) -> Model:
    """The restorer of a folder or file; ``network`` is the file's, if its class is not of this project.

    Raises:
        ValueError: nothing recognises it (the message says what was tried), or an ``.onnx`` file elsewhere than on the
            CPU in float32.
    """
    if path.is_dir():
        return results(path)
    if path.suffix != ".onnx":
        return _by_torch(path, find_device(device), precision, network)
    device = "cpu" if device == "auto" else find_device(device)
    if (device, precision) != ("cpu", "float32"):
        raise ValueError(f"{path}: an .onnx file is drawn on the CPU in float32; got {device}, {precision}")
    return _by_onnx(path)


def results(folder: Path) -> Model:
    """Faces that somebody restored, by key: the path below the folder, without suffix.

    Raises:
        ValueError: no image in it, or two of one key.
    """
    found = inputs.files_by_name(inputs.images_in(folder))
    digest = hashlib.sha256("".join(f"{key}\0{sha256(file)}\n" for key, file in found.items()).encode())

    def refuse(_: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ValueError(f"{folder}: a folder of results restores no other faces; a network is expected here")

    card = Card(str(folder), f"{len(found)} results, as files", sha256=digest.hexdigest())
    return Model(refuse, card, "none: read from files", found)


def onnx_engine() -> str:
    """The software that draws ONNX graphs, for the trace."""
    return f"ONNX Runtime {onnxruntime.__version__}, cpu, float32"


def _by_onnx(path: Path) -> Model:
    network = OnnxNetwork(path)
    size = network.fixed_size or (network.info.get("image_size", FRAME) if network.ours else None)
    architecture = network.info.get("architecture", OURS if network.ours else "ONNX graph")
    licence = network.info.get("license")
    card = Card(path.name, architecture, None, sha256(path), licence, size, network.scale, bool(network.fixed_size))
    return Model(network, card, onnx_engine())


def _by_torch(path: Path, device: str, precision: Any, network: Any) -> Model:
    from hifacegan_lib.models import checkpoints, networks  # here: loading PyTorch takes seconds

    if _has_our_description(path):
        generator, info = checkpoints.load_generator(path, device, network)
        architecture, size = networks.title(generator), info.get("image_size", FRAME)
        about = {"licence": info.get("license"), "size": size, "recolours": info.get("recolours", False)}
        return of_generator(generator, Card(path.name, architecture, sha256=sha256(path), **about), precision)
    tensors = _ncnn(path) or checkpoints.read_foreign(path)
    tried = ["a generator of this workbench: the file has no description of one"]
    for kind, reader in (("published HiFaceGAN", _published), ("a network that spandrel recognises", _by_spandrel)):
        try:
            return reader(tensors, Card(path.name, sha256=sha256(path)), device, precision)
        except ValueError as error:
            tried.append(f"{kind}: {error}")
    raise ValueError(f"{path}: no restorer is recognised in it; tried\n  " + "\n  ".join(tried))


def _has_our_description(path: Path) -> bool:
    if path.suffix != ".safetensors":
        return False
    try:
        with safe_open(path, framework="np") as file:
            return "hifacegan" in (file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None


def _ncnn(path: Path) -> dict[str, Any]:
    """Real-ESRGAN's tensors if the file begins as ncnn's do, else nothing."""
    import torch

    from hifacegan_lib.models import spandrel_network

    with path.open("rb") as file:
        if int.from_bytes(file.read(4), "little") != spandrel_network.NCNN_TAG:
            return {}
    return {name: torch.from_numpy(values) for name, values in spandrel_network.read_realesrgan(path).items()}


def of_generator(generator: Any, card: Card, precision: Any) -> Model:
    """A network on its device, drawn by PyTorch.

    Args:
        card: what is known but for the count of parameters.
    """
    from hifacegan_lib.models.torch_network import TorchNetwork

    network = TorchNetwork(generator, precision)
    parameters = sum(values.numel() for values in generator.parameters())
    return Model(network, dataclasses.replace(card, parameters=parameters), _torch_engine(network))


def with_steps(model: Model, steps: int) -> Model:
    """A flow that is drawn in another number of steps; ``model`` becomes it.

    Raises:
        ValueError: the model is no flow, or no step.
    """
    from hifacegan_lib.models import networks
    from hifacegan_lib.models.flow import Flow

    flow = getattr(model.network, "network", None)
    if not isinstance(flow, Flow) or steps < 1:
        raise ValueError(f"steps = {steps}: expected 1 or more for a flow, and none for another network ({model.name})")
    flow.steps = steps
    card = dataclasses.replace(model.card, name=f"{model.name} ({steps} steps)", architecture=networks.title(flow))
    return dataclasses.replace(model, card=card)


def _published(tensors: Mapping[str, Any], card: Card, device: str, precision: Any) -> Model:
    """The picture of ``train()`` with one image at a time, as the authors test, without its state."""
    from hifacegan_lib.models import published, train_eval

    generator, info = published.import_state(tensors)
    about = f"HiFaceGAN {info['variant']}, published by {info['source']}"
    card = dataclasses.replace(card, architecture=about, size=PUBLISHED_SIZE)
    return of_generator(train_eval.eval_safe(generator).to(device), card, precision)


def _by_spandrel(tensors: Mapping[str, Any], card: Card, device: str, precision: Any) -> Model:
    from hifacegan_lib.models.spandrel_network import SpandrelNetwork

    n = SpandrelNetwork(tensors, device, precision)
    known = {"architecture": n.architecture, "parameters": n.parameters, "size": n.size, "scale": n.scale}
    return Model(n, dataclasses.replace(card, **known, square=bool(n.size)), _torch_engine(n))


def _torch_engine(network: Any) -> str:
    import torch

    used = str(network.dtype).removeprefix("torch.")  # what "auto" has become
    return f"PyTorch {torch.__version__}, {network.device}, {used}"
