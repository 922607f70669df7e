"""Draw with ONNX Runtime on the CPU: the graph from a file, its weights in the file or given beside it; no PyTorch.

    picture = crop(graph(pad(image)))

A graph takes sides in multiples of its block; ``pad`` extends them as :class:`Generator` does. Pictures are drawn one
by one: none depends on its neighbours, and memory is that of one.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hifacegan_lib.utils.jobs import SHARE

Floats = NDArray[np.float32]

KEY = "hifacegan"  # of the metadata: JSON with the block and what the checkpoint says
QUIET = 3  # ONNX Runtime logs only errors
PROBES = (64, 512)  # sides of pictures that show a network's scale, pixels
STORED = "network."  # stands before the name of each weight in an exported graph


class OnnxNetwork:
    """Damaged faces N x 3 x H x W in [0, 1] -> restored faces N x 3 x sH x sW, same range, any H and W, s = ``scale``.

    Arrays give float32 arrays, tensors give tensors of their own kind and device. Any network with one image input and
    one image output can be used; a small picture is drawn first, to find its scale.

    Args:
        path: an ``.onnx`` file.
        weights: name -> values, for a graph that was written without them (:func:`exporting.export_graph`).
    Attributes:
        block: the sides of the graph's pictures are multiples of this, pixels. info: that of the checkpoint.
        ours: this project exported it. scale: side of the output over that of the input.
    Raises:
        FileNotFoundError: no such file. ValueError: it is no such network, or these are not its weights.
    """

    def __init__(self, path: str | Path, weights: Mapping[str, Floats] | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such network")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = QUIET
        options.intra_op_num_threads = int(os.environ.get(SHARE, 0))  # 0: all cores; the results are the same bits
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it burns cores that others need
        options.add_session_config_entry("session.dynamic_block_base", "4")  # no thread waits for one that was paused
        values = {STORED + name: onnxruntime.OrtValue.ortvalue_from_numpy(v) for name, v in (weights or {}).items()}
        try:
            if values:
                options.add_external_initializers(list(values), list(values.values()))
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own kinds, and RuntimeError
            raise ValueError(f"{path}: ONNX Runtime cannot load it ({str(error).partition(chr(10))[0]})") from None
        (self.input, *others), outputs = self.session.get_inputs(), self.session.get_outputs()
        if others or len(outputs) != 1 or len(self.input.shape) != 4 or self.input.type != "tensor(float)":
            raise ValueError(f"{path}: expected one float32 image N x 3 x H x W in, and one out")
        about = json.loads(self.session.get_modelmeta().custom_metadata_map.get(KEY, "{}"))
        self.ours = bool(about) or bool(values)
        self.block: int = about.get("block", 1)
        self.info: dict[str, Any] = about.get("info", {})
        self.scale = 1 if self.ours else self._scale(str(path))

    @property
    def fixed_size(self) -> int | None:
        """The height of all pictures, pixels; None if any height will do."""
        height = self.input.shape[2]
        return height if isinstance(height, int) else None

    def _scale(self, path: str) -> int:
        """The scale of another project's network, found by drawing a grey picture: of its fixed size, or of PROBES."""
        reason = ""
        for side in (self.fixed_size,) if self.fixed_size else PROBES:
            try:
                (drawn,) = self.session.run(None, {self.input.name: np.full((1, 3, side, side), 0.5, np.float32)})
            except Exception as error:  # ONNX Runtime's own kinds
                reason = reason or str(error).partition("\n")[0]
                continue
            scale = drawn.shape[-1] // side
            if drawn.shape == (1, 3, scale * side, scale * side) and scale:
                return scale
            reason = reason or f"of a picture of {side} x {side} pixels it drew {drawn.shape}"
        raise ValueError(f"{path}: expected one float32 image N x 3 x H x W in, and one out ({reason})")

    def __call__(self, image: Any) -> Any:
        values: Floats = image if isinstance(image, np.ndarray) else image.detach().float().cpu().numpy()
        check(values)
        drawn = np.concatenate([self._draw(one[None]) for one in values.astype(np.float32, copy=False)])
        return drawn if isinstance(image, np.ndarray) else image.new_tensor(drawn)

    def _draw(self, image: Floats) -> Floats:
        (drawn,) = self.session.run(None, {self.input.name: padded(image, self.block)})
        height, width = (self.scale * side for side in image.shape[2:])
        return drawn[:, :, :height, :width].clip(0, 1)


def check(image: Floats) -> None:
    """Raise ValueError for a wrong shape, NaN or infinity, with the messages of :class:`Generator`."""
    if image.ndim != 4 or image.shape[1] != 3 or not image.size:
        raise ValueError(f"expected N x 3 x H x W with at least one pixel, got {image.shape}")
    if broken := image.size - int(np.isfinite(image).sum()):
        raise ValueError(f"the image: {broken} of {image.size} values are NaN or infinite; expected [0, 1]")


def padded(image: Floats, block: int) -> Floats:
    """The image, with sides that are multiples of ``block``: reflected, or if it is small, its border repeated."""
    height, width = image.shape[2:]
    bottom, right = -height % block, -width % block
    if not (bottom or right):
        return image
    reflects = bottom < height and right < width
    return np.pad(image, ((0, 0), (0, 0), (0, bottom), (0, right)), "reflect" if reflects else "edge")
