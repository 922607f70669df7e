"""One restorer at several settings, along which it gives up pixels (PSNR) for sharpness (LPIPS), perhaps for identity.

A flow is drawn in several numbers of steps; shipped weights are blended from fidelity to realism.
"""

import copy
from typing import Any

from hifacegan_lib.evaluation.scoring import Method
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.restoration import pretrained

STEPS = (1, 2, 5, 10, 25)
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)


def settings(model: Any, checkpoint: str = "", device: str = "cpu") -> dict[str, Method]:
    """Setting -> the restorer at this setting; empty if it has none.

    Args:
        model: a network N x 3 x H x W in [0, 1] -> the same, on ``device``.
        checkpoint: the name of its weights; of shipped ones with or without their flavour.
    """
    if isinstance(model, Flow):
        flows = {steps: copy.copy(model) for steps in STEPS}  # they share their weights
        for steps, flow in flows.items():
            flow.steps = steps
        return {f"{steps} steps": flow for steps, flow in flows.items()}
    name = next((name for name in pretrained.names() if name in (checkpoint, checkpoint.rpartition("-")[0])), "")
    if not name or any(pretrained.find(f"{name}-{flavour}") is None for flavour in pretrained.FLAVOURS):
        return {}
    return {f"blend {blend:g}": pretrained.load_model(name, blend, device).network for blend in BLENDS}  # type: ignore[misc]
