"""The GPU's kernels: run by Triton's interpreter against the equation, and compiled for real GPUs.

Both need Triton alone and no GPU. The interpreter is switched on before Triton is loaded, so in a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not made for this system")

HEAD = """
import numpy as np
import torch
import triton.language as tl
"""

AGAINST_THE_CPU = """
from triton.runtime import interpreter
from hifacegan_lib.models.fused import triton_kernels
from hifacegan_lib.models.suppression import correlation_maps, inner_product_conv2d

plain = interpreter.InterpreterBuilder.create_dot


def create_dot(self, a, b, d, *rest):
    # the interpreter keeps bfloat16 as bits and would multiply those
    if a.dtype == tl.bfloat16:
        wide = [interpreter._convert_float(x.data, tl.bfloat16, tl.float32, None).view(np.float32) for x in (a, b)]
        a, b = (interpreter.TensorHandle(x, tl.float32) for x in wide)
    return plain(self, a, b, d, *rest)


interpreter.InterpreterBuilder.create_dot = create_dot
torch.backends.cudnn.allow_tf32 = False


def compare(n, c, d, out, window, height, width, stride, dtype, bound):
    draw = torch.Generator().manual_seed(0)
    shapes = ((n, c, height, width), (n, d, height, width), (out, c, window, window))
    given = [torch.randn(*shape, generator=draw).to(dtype) for shape in shapes]
    results = []
    for kind in (torch.float64, dtype):
        x = [t.to(kind).requires_grad_() for t in given]
        if kind == torch.float64:
            y = inner_product_conv2d(x[0], correlation_maps(x[1], window, stride), x[2], None, stride)
        else:
            y = triton_kernels.InnerProduct.apply(*x, stride)
        pull = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype).to(kind)
        results.append([y, *torch.autograd.grad(y, x, pull)])
        assert all(t.dtype == kind for t in results[-1])
    for expected, found in zip(*results):
        off = ((found.double() - expected).abs().max() / expected.abs().max()).item()
        assert off < bound, (off, n, c, d, out, window, height, width, stride, dtype)


triton_kernels.PIXELS, triton_kernels.CHANNELS = 16, 16  # several tiles
for case in (
    (2, 5, 3, 7, 3, 7, 6, 1),
    (1, 20, 8, 18, 3, 7, 6, 2),
    (1, 17, 4, 5, 5, 5, 8, 2),
    (1, 3, 2, 17, 5, 6, 5, 1),
    (2, 4, 2, 3, 3, 1, 9, 2),
    (1, 4, 2, 3, 3, 1, 1, 1),
):
    compare(*case, torch.float32, 1e-5)
compare(2, 16, 8, 16, 3, 9, 9, 1, torch.bfloat16, 2e-2)
compare(2, 16, 8, 16, 3, 9, 9, 2, torch.bfloat16, 2e-2)
compare(2, 16, 8, 16, 3, 9, 9, 2, torch.float16, 3e-3)
"""

COMPILED = """
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from hifacegan_lib.models.fused import triton_kernels as kernels

for capability, kind, stride in ((80, "fp32", 2), (90, "bf16", 1), (90, "fp16", 2)):
    tiles = {"TP": kernels.PIXELS, "TC": kernels.CHANNELS, "TO": kernels.CHANNELS}
    window = {"WINDOW": 3, "STRIDE": stride}
    product = {**window, **tiles, "PRECISION": "tf32"}
    for kernel, fixed in (
        (kernels._correlate, {**window, "TP": kernels.PIXELS, "TD": 8}),
        (kernels._correlate_backward, {**window, "TP": kernels.PIXELS, "TD": 8}),
        (kernels._forward, product),
        (kernels._features_backward, product),
        (kernels._weight_backward, product),
    ):
        kinds = dict.fromkeys(("g", "h", "f", "weight", "out", "grad", "d_f", "d_g"), f"*{kind}")
        kinds |= {"d_h": "*fp32", "slope": "*fp32", "d_weight": "*fp32", "scale": "fp32"}
        signature = {name: "constexpr" if name in fixed else kinds.get(name, "i32") for name in kernel.arg_names}
        made = compile(ASTSource(kernel, signature, constexprs=fixed), target=GPUTarget("cuda", capability, 32))
        assert ("mma" in made.asm["ptx"]) == ("PRECISION" in fixed), (capability, kind, stride)
        assert made.metadata.shared <= 96 * 1024, (capability, kind, stride)
"""


def run(script: str, cache: Path, **environment: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", HEAD + script],
        env={**os.environ, "TRITON_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_the_interpreted_kernels_equal_the_cpu_s_form_forward_and_backward(tmp_path: Path) -> None:
    run(AGAINST_THE_CPU, cache=tmp_path, TRITON_INTERPRET="1")


def test_the_kernels_compile_for_gpus(tmp_path: Path) -> None:
    """To machine code, with tensor cores for the products and shared memory that such a GPU has."""
    run(COMPILED, cache=tmp_path)
