"""Real-ESRGAN x4plus from the file that ncnn draws with: the published network, its weights rounded to half precision.

The file has no names. For each convolution, in the order of the drawing, it holds

    tag 0x01306B47 (uint32)  |  weights, C_out x C_in x 3 x 3 (float16, filled up to 4 bytes)  |  bias, C_out (float32)

The network (Wang et al., 2107.10833; RRDBNet of ESRGAN, 1809.00219) is 23 blocks of three dense blocks of five
convolutions, between one convolution before and five after them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TAG = 0x01306B47  # "float16 follows"
BLOCKS, WIDTH, GROWTH = 23, 64, 32


def layers() -> Iterator[tuple[str, int, int]]:
    """Published name, C_out and C_in of each convolution, in the order of the drawing."""
    yield "conv_first", WIDTH, 3
    for block in range(BLOCKS):
        for dense in (1, 2, 3):
            for n in range(5):
                yield f"body.{block}.rdb{dense}.conv{n + 1}", GROWTH if n < 4 else WIDTH, WIDTH + n * GROWTH
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        yield name, WIDTH, WIDTH
    yield "conv_last", 3, WIDTH


def read_ncnn(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Published tensor name -> values, float32.

    Raises:
        FileNotFoundError: no such file. ValueError: the file is not ncnn's Real-ESRGAN x4plus, or it is cut off.
    """
    data, place = Path(path).read_bytes(), 0
    found: dict[str, NDArray[np.float32]] = {}
    for name, out, into in layers():
        count = out * into * 9
        bias = place + 4 + (2 * count + 3) // 4 * 4
        end = bias + 4 * out
        if len(data) < end:
            raise ValueError(f"{path}: not ncnn's Real-ESRGAN x4plus: it ends at byte {len(data)}, inside {name}")
        if (tag := int.from_bytes(data[place : place + 4], "little")) != TAG:
            raise ValueError(
                f"{path}: not ncnn's Real-ESRGAN x4plus: tag {tag:#010x} before {name}, expected {TAG:#010x}"
            )
        weights = np.frombuffer(data, "<f2", count, place + 4).reshape(out, into, 3, 3)
        found[f"{name}.weight"] = weights.astype(np.float32)
        found[f"{name}.bias"] = np.frombuffer(data, "<f4", out, bias).copy()
        place = end
    if len(data) > place:
        raise ValueError(f"{path}: not ncnn's Real-ESRGAN x4plus: {len(data) - place} bytes follow conv_last")
    return found
