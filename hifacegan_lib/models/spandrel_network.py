"""Draw with the networks of others: spandrel finds the architecture in the names and shapes of the tensors.

spandrel (MIT) knows GFPGAN, RestoreFormer, NAFNet, SwinIR, ESRGAN and about 40 more; spandrel_extra_arches adds
CodeFormer, Restormer, MIRNet2 and others under licences that partly forbid commercial use, so it is used where it is
installed and is no dependency. Networks are built from tensors alone; no code of a file runs. Real-ESRGAN x4plus also
comes as the file that ncnn draws with: the published network, in half precision (:func:`read_realesrgan`).
"""

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.models.onnx_network import check
from hifacegan_lib.models.torch_network import Precision, chosen_dtype

FACE_SIZE = 512  # pixels; the side for which the authors of each network for faces trained it
SIGNED = ("GFPGAN", "CodeFormer")
"""Their authors show them [-1, 1] and read the output so; spandrel 0.4.2 gives them [0, 1]."""
EXTRA = (
    "spandrel_extra_arches, for CodeFormer, Restormer, MIRNet2 and others, is not installed: "
    "`pip install spandrel_extra_arches`, if its licences, partly non-commercial, suit you"
)
NCNN_TAG = 0x01306B47  # "float16 follows"
BLOCKS, WIDTH, GROWTH = 23, 64, 32  # of Real-ESRGAN x4plus


class SpandrelNetwork:
    """Damaged faces N x 3 x H x W in [0, 1] -> restored faces N x 3 x sH x sW in [0, 1], s = ``scale``.

    Faces are drawn one by one, each with the same random numbers where a network draws noise (GFPGAN), so that a
    picture depends neither on its neighbours nor on what was drawn before. Arrays give arrays, tensors give tensors.

    Args:
        tensors: name -> values; wrappers (``params_ema``) and prefixes (``module.``) are removed.
        device: of the network.
        precision: ``bfloat16`` is autocast; see :class:`hifacegan_lib.models.torch_network.TorchNetwork`.
    Attributes:
        architecture: its name. parameters: their count. scale: side of the output over that of the input.
        size: side of the square that a network for faces takes, pixels; None: any size will do.
    Raises:
        ValueError: spandrel is not installed; no architecture fits the tensors; the network needs more than an image.
    """

    def __init__(
        self, tensors: Mapping[str, Any], device: str | torch.device = "cpu", precision: Precision = "float32"
    ) -> None:
        self._built = _built(tensors).to(torch.device(device)).eval()
        self._network = self._built.model.requires_grad_(False)
        self.device, self.dtype = torch.device(device), chosen_dtype(precision, device)
        self.architecture: str = self._built.architecture.name
        self.parameters = sum(values.numel() for values in self._network.parameters())
        self.scale: int = self._built.scale
        self.size = FACE_SIZE if self._built.purpose == "FaceSR" else None

    def __call__(self, image: Any) -> Any:
        check(image if isinstance(image, np.ndarray) else image.detach().cpu().numpy())
        faces = torch.as_tensor(image, dtype=torch.float32, device=self.device)
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            torch.inference_mode(),
            torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32),
        ):
            drawn = torch.cat([self._draw(face) for face in faces.split(1)])
        return drawn.cpu().numpy() if isinstance(image, np.ndarray) else drawn.clone()

    def _draw(self, face: Tensor) -> Tensor:
        torch.manual_seed(0)
        if self.architecture in SIGNED:
            return ((self._network(2 * face - 1)[0].float() + 1) / 2).clamp(0, 1)
        return self._built(face).float()


def _built(tensors: Mapping[str, Any]) -> Any:
    """spandrel's descriptor of the network with these weights."""
    if importlib.util.find_spec("spandrel") is None:
        raise ValueError("spandrel is not installed: `pip install hifacegan-workbench[zoo]`")
    import spandrel

    registry, extra = spandrel.MAIN_REGISTRY.copy(), importlib.util.find_spec("spandrel_extra_arches") is not None
    if extra:
        import spandrel_extra_arches

        registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of architectures that were written for older versions of PyTorch
            found = spandrel.ModelLoader(registry=registry).load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError:
        hint = "" if extra else f"; {EXTRA}"
        raise ValueError(f"spandrel knows no network with these tensors{hint}") from None
    except Exception as error:  # an architecture's own errors, for tensors that fit it only nearly
        first = str(error).strip().replace("\n\t", " ").partition("\n")[0]
        raise ValueError(f"spandrel: the tensors do not fit ({type(error).__name__}: {first[:200]})") from None
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ValueError(f"{found.architecture.name} fills holes: it needs a mask beside the image")
    if (found.input_channels, found.output_channels) != (3, 3):
        channels = f"{found.input_channels} channels in and {found.output_channels} out"
        raise ValueError(f"{found.architecture.name} with {channels}, expected RGB in and out")
    return found


def realesrgan_layers() -> Iterator[tuple[str, int, int]]:
    """Published name, C_out and C_in of each convolution, in the order of the drawing."""
    yield "conv_first", WIDTH, 3
    for block in range(BLOCKS):
        for dense in (1, 2, 3):
            for n in range(5):
                yield f"body.{block}.rdb{dense}.conv{n + 1}", GROWTH if n < 4 else WIDTH, WIDTH + n * GROWTH
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        yield name, WIDTH, WIDTH
    yield "conv_last", 3, WIDTH


def read_realesrgan(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Published tensor name -> values, float32, of the file that ncnn draws Real-ESRGAN x4plus with.

    The file has no names. For each convolution, in the order of drawing: the tag (uint32), the weights (float16, filled
    up to 4 bytes), the bias (float32). The network (2107.10833; ESRGAN's RRDBNet, 1809.00219) is 23 blocks of three
    dense blocks of five convolutions, between one convolution before and five after them.

    Raises:
        FileNotFoundError: no such file. ValueError: the file is not ncnn's Real-ESRGAN x4plus, or it is cut off.
    """
    data, place, refused = Path(path).read_bytes(), 0, f"{path}: not ncnn's Real-ESRGAN x4plus"
    found: dict[str, NDArray[np.float32]] = {}
    for name, out, into in realesrgan_layers():
        count = out * into * 9
        bias = place + 4 + (2 * count + 3) // 4 * 4
        end = bias + 4 * out
        if len(data) < end:
            raise ValueError(f"{refused}: it ends at byte {len(data)}, inside {name}")
        if (tag := int.from_bytes(data[place : place + 4], "little")) != NCNN_TAG:
            raise ValueError(f"{refused}: tag {tag:#010x} before {name}, expected {NCNN_TAG:#010x}")
        weights = np.frombuffer(data, "<f2", count, place + 4).reshape(out, into, 3, 3)
        found[f"{name}.weight"] = weights.astype(np.float32)
        found[f"{name}.bias"] = np.frombuffer(data, "<f4", out, bias).copy()
        place = end
    if len(data) > place:
        raise ValueError(f"{refused}: {len(data) - place} bytes follow conv_last")
    return found
