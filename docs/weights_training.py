"""Train the shipped networks on one GPU, by the clock: six stages in ten minutes of an H200.

    python docs/weights_training.py DATA OPEN VGG OUT [--minutes 10.4] [--device cuda]

    patches   128 px crops of faces, squared errors, rate 0.001 falling to 0.0003         -> whole
    whole     256 px faces, squared errors, rate 0.0006 falling to 0                      -> compact-256-fidelity
    open_patches, open_whole: the same on the faces that any use is allowed for           -> open-256-fidelity
    realism   from whole: LPIPS on VGG-16, L1, chroma, and an adversary                   -> compact-256-realism
    vintage   from whole: squared errors on old prints                                     -> vintage-256

``DATA`` is a folder of `hifacegan prepare`; ``OPEN`` is a JSON list of the keys of its images with free licences;
``VGG`` is a safetensors file: VGG-16's convolutions ``conv<n>.weight`` and ``conv<n>.bias``, and LPIPS's weights
``head<n>`` of its five blocks (arXiv 1801.03924). Each stage's rate follows the clock, so that it always ends annealed;
the number of steps depends on the GPU, and so do the last digits of the weights.

Worker processes damage faces and write the pairs into shared memory, faster than the GPU uses them. A batch is drawn
from all pairs that lie there, and the steps without an adversary are replayed as a CUDA graph. The shipped weights were
trained when Triton's kernels were the default on such a GPU; set ``HIFACEGAN_TRITON=1`` for them.
"""

import argparse
import copy
import json
import math
import mmap
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from hifacegan_lib.data.face_loader import FacePairs, LoaderConfig
from hifacegan_lib.data.manifest import Entry, Manifest
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.models.checkpoints import load_generator, save_generator
from hifacegan_lib.models.discriminator import Discriminator
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.restoration.pretrained import FOLDER
from hifacegan_lib.training.losses import charbonnier

SHAPE = GeneratorConfig(width=48, widest=5, stages=4, patch=2, hidden=48)


@dataclass(frozen=True)
class Stage:
    """One training: ``share`` of the time, on faces of ``size`` pixels."""

    name: str
    share: float
    size: int
    batch: int
    rate: float
    source: str = ""  # the stage whose averaged weights it starts from
    faces: str = "all"  # or "open"
    recipe: str = "face_renov_mixed"
    crop_min: float = 1.0
    end: float = 0.0  # last rate, as a share of the first
    hold: float = 0.2  # share of the stage before the rate falls
    warmup: int = 100  # steps
    average: float = 0.999
    adversary: bool = False
    seed: int = 0


PATCHES = Stage("patches", 150, 128, 64, 1e-3, "", "all", str(FOLDER / "face_renov_mixed_128.json"), 0.5, 0.3, 0.4, 300)
WHOLE = Stage("whole", 165, 256, 24, 6e-4, "patches")
STAGES = [
    PATCHES,
    WHOLE,
    replace(PATCHES, name="open_patches", share=45, faces="open", seed=100),
    replace(WHOLE, name="open_whole", share=55, source="open_patches", faces="open", seed=100),
    Stage("realism", 140, 256, 16, 2e-4, "whole", hold=0.5, warmup=200, average=0.998, adversary=True),
    Stage("vintage", 58, 256, 24, 5e-4, "whole", recipe="old_photo", seed=300),
]
ADVERSARY = 0.3  # norm of the adversary's gradient, as a share of the norm of the other losses' gradient
CHROMA = torch.tensor([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # RGB -> Cb, Cr


class Feeder:
    """Pairs of each stage in shared memory, written by ``workers`` processes; only the stage ``now`` is filled."""

    def __init__(self, stages: list[Stage], faces: dict[str, list[Entry]], workers: int, slots: int) -> None:
        self.stages, self.faces, self.workers, self.each = stages, faces, workers, slots // workers
        shapes = [(workers * self.each, 2, 3, stage.size, stage.size) for stage in stages]
        self.pixels = [np.frombuffer(mmap.mmap(-1, math.prod(s)), np.uint8).reshape(s) for s in shapes]
        self.written = [np.frombuffer(mmap.mmap(-1, 8 * workers), np.int64) for _ in stages]
        self.now = multiprocessing.Value("i", 0)
        for worker in range(workers):
            multiprocessing.get_context("fork").Process(target=self._work, args=(worker,), daemon=True).start()

    def _work(self, worker: int) -> None:
        cv2.setNumThreads(0)
        while 0 <= (number := self.now.value) < len(self.stages):
            stage, pixels = self.stages[number], self.pixels[number]
            config = LoaderConfig(".", stage.size, stage.recipe, 1, stage.crop_min, 0.5, stage.seed)
            pairs = FacePairs(self.faces[stage.faces], config, load_recipe(stage.recipe))
            rng = np.random.default_rng((7, number, worker))
            made = 0
            while self.now.value == number:
                pair = pairs[int(rng.integers(len(pairs))), int(rng.integers(1 << 30))]
                slot = pixels[worker * self.each + made % self.each]
                slot[0], slot[1] = pair["degraded"].numpy(), pair["clean"].numpy()
                made += 1
                self.written[number][worker] = made

    def batches(self, number: int, device: torch.device) -> Iterator[Tensor]:
        """Endless batches N x 2 x 3 x S x S of uint8 on the device; a thread prepares three in advance."""
        size, pixels = self.stages[number].batch, torch.from_numpy(self.pixels[number])
        rng, ready, ended = np.random.default_rng((11, number)), queue.Queue[Tensor](3), threading.Event()

        def fill() -> None:
            while not ended.is_set():
                filled = np.minimum(self.written[number], self.each)
                if filled.sum() < min(1500, self.each * self.workers // 2):
                    time.sleep(0.05)
                    continue
                worker = rng.integers(self.workers, size=size)
                worker = np.where(filled[worker] > 0, worker, int(filled.argmax()))
                places = worker * self.each + (rng.random(size) * filled[worker]).astype(np.int64)
                batch = torch.index_select(pixels, 0, torch.from_numpy(places))
                batch = batch.pin_memory() if device.type == "cuda" else batch
                while not ended.is_set():
                    try:
                        ready.put(batch, timeout=0.2)
                        break
                    except queue.Full:
                        pass

        threading.Thread(target=fill, daemon=True).start()
        try:
            while True:
                yield ready.get().to(device, non_blocking=True)
        finally:
            ended.set()


class Lpips:
    """LPIPS (arXiv 1801.03924) on VGG-16, N x 3 x H x W in [0, 1]: the mean over places, sum over layers."""

    def __init__(self, file: Path, device: torch.device) -> None:
        weights = {name: value.to(device) for name, value in load_file(file).items()}
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.layers = [(weights[f"conv{n}.weight"].to(kind), weights[f"conv{n}.bias"].to(kind)) for n in range(13)]
        self.heads = [weights[f"head{n}"].float() for n in range(5)]
        self.mean, self.std = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )

    def features(self, image: Tensor) -> Iterator[Tensor]:
        """After each of the five blocks, every pixel's features with norm 1."""
        x, layers = ((image - self.mean) / self.std).to(self.layers[0][0].dtype), iter(self.layers)
        for block, count in enumerate((2, 2, 3, 3, 3)):
            x = F.max_pool2d(x, 2) if block else x
            for _ in range(count):
                x = F.relu(F.conv2d(x, *next(layers), padding=1))
            yield x.float() / (x.float().square().sum(1, keepdim=True).sqrt() + 1e-5)

    def __call__(self, restored: Tensor, clean: Tensor) -> Tensor:
        with torch.no_grad():
            targets = list(self.features(clean))
        pairs = zip(self.heads, self.features(restored), targets, strict=True)
        return torch.stack([((a - b).square() * head).sum(1).mean() for head, a, b in pairs]).sum()


class Trainer:
    """One stage: network, averaged network and, for realism, the discriminator."""

    def __init__(self, stage: Stage, start: nn.Module, vgg: Path, device: torch.device) -> None:
        self.stage, self.device, self.gpu = stage, device, device.type == "cuda"
        layout = torch.channels_last
        self.network = copy.deepcopy(start).to(device, memory_format=layout).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.rate, self.keep = torch.tensor(stage.rate, device=device), torch.tensor(0.0, device=device)
        self.weights = list(self.network.parameters())
        self.optimizer = torch.optim.Adam(self.weights, self.rate, (0.9, 0.99), fused=self.gpu, capturable=self.gpu)
        shape = (stage.batch, 3, stage.size, stage.size)
        self.degraded, self.clean = (torch.zeros(shape, device=device).to(memory_format=layout) for _ in range(2))
        if stage.adversary:
            self.lpips, self.chroma = Lpips(vgg, device), CHROMA.to(device)
            torch.manual_seed(1)
            self.discriminator = Discriminator(64, detail=8.0).to(device, memory_format=layout).train()  # type: ignore[call-overload]
            self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), 4e-4, (0.0, 0.99), fused=self.gpu)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.gpu)

    def step(self) -> Tensor:
        """One step on ``degraded`` and ``clean``; the loss, or LPIPS."""
        with self.autocast():
            restored = self.network(self.degraded).float()
        self.optimizer.zero_grad(set_to_none=not self.gpu)  # a graph needs its gradients in place
        if self.stage.adversary:
            value, gradient = self.realism(restored.detach().requires_grad_())
            restored.backward(gradient)
        else:
            value = 100 * charbonnier(restored, self.clean, epsilon=0.1)
            value.backward()
        nn.utils.clip_grad_norm_(self.weights, 5.0, foreach=True)
        self.optimizer.step()
        if self.stage.adversary:
            self.discriminate(restored.detach())
        with torch.no_grad():
            for old, new in zip(self.average.parameters(), self.weights, strict=True):
                old.lerp_(new, 1 - self.keep)
        return value.detach()

    def realism(self, restored: Tensor) -> tuple[Tensor, Tensor]:
        """LPIPS, and the gradient of all losses with respect to the restored faces."""
        lpips = self.lpips(restored, self.clean)
        colour = torch.einsum("nchw,kc->nkhw", restored - self.clean, self.chroma).square().mean()
        losses = lpips + 2 * F.l1_loss(restored, self.clean) + 20 * colour
        self.discriminator.requires_grad_(False)
        with self.autocast():
            found = self.discriminator(self.degraded, restored)
            with torch.no_grad():
                wanted = self.discriminator(self.degraded, self.clean)
        self.discriminator.requires_grad_(True)
        matching = [
            F.l1_loss(a.float(), b.float())
            for scale, other in zip(found, wanted, strict=True)
            for a, b in zip(scale[:-1], other[:-1], strict=True)
        ]
        against = torch.stack(matching).sum() / len(found) - torch.stack([s[-1].float().mean() for s in found]).mean()
        (gradient,) = torch.autograd.grad(losses, restored)
        (pull,) = torch.autograd.grad(against, restored)
        return lpips, gradient + ADVERSARY * gradient.norm() / (pull.norm() + 1e-12) * pull

    def discriminate(self, restored: Tensor) -> None:
        """One step of the discriminator, hinge loss."""
        with self.autocast():
            found, wanted = (self.discriminator(self.degraded, face) for face in (restored, self.clean))
        hinge = [
            F.relu(1 + a[-1].float()).mean() + F.relu(1 - b[-1].float()).mean()
            for a, b in zip(found, wanted, strict=True)
        ]
        self.d_optimizer.zero_grad()
        torch.stack(hinge).mean().backward()
        self.d_optimizer.step()

    def run(self, batches: Iterator[Tensor], seconds: float, say: Callable[[str], None]) -> int:
        """Train for ``seconds``; the number of steps."""
        stage, begun, replay, value = self.stage, time.monotonic(), None, torch.zeros(())
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)
        done = 0
        while (spent := (time.monotonic() - begun) / seconds) < 1:
            fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, (spent - stage.hold) / (1 - stage.hold)))
            self.rate.fill_(stage.rate * min(1.0, (done + 1) / stage.warmup) * (stage.end + (1 - stage.end) * fall))
            self.keep.fill_(min(stage.average, (1 + done) / (10 + done)))
            pair = next(batches).float().div_(255)
            self.degraded.copy_(pair[:, 0])
            self.clean.copy_(pair[:, 1])
            if self.gpu and not stage.adversary and done == 5:
                replay = torch.cuda.CUDAGraph()
                with torch.cuda.graph(replay, capture_error_mode="thread_local"):  # another thread pins memory
                    value = self.step()
            if replay:
                replay.replay()
            elif self.gpu and not stage.adversary:
                value = self._aside()
            else:
                value = self.step()
            done += 1
            if done % 200 == 0:
                say(f"{stage.name} {done}: {float(value):.4f}, rate {float(self.rate):.2e}")
                if not math.isfinite(float(value)):
                    raise FloatingPointError(f"{stage.name}: the loss is {float(value)} at step {done}")
        return done

    def _aside(self) -> Tensor:
        """A step on another stream, as the capture of a graph needs it before."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            value = self.step()
        torch.cuda.current_stream().wait_stream(stream)
        return value


@torch.inference_mode()
def gain(network: nn.Module, faces: list[Entry], device: torch.device) -> str:
    """Gain in PSNR over the input on the set-aside faces, 256 px, ``face_renov``."""
    pairs = FacePairs(faces, LoaderConfig(".", 256, "face_renov", 1, 1.0, 0.0), load_recipe("face_renov"))
    gains = []
    for n in range(len(faces)):
        pair = pairs[n, 0]
        degraded, clean = (pair[name][None].to(device).float() / 255 for name in ("degraded", "clean"))
        restored = (network(degraded).clamp(0, 1) * 255).round() / 255
        gains.append(10 * ((degraded - clean).square().mean() / (restored - clean).square().mean()).log10().item())
    return f"{np.mean(gains):+.3f} dB (standard error {np.std(gains) / len(gains) ** 0.5:.3f}, least {min(gains):+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "open", "vgg", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, default=10.4, help="time of all stages together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--slots", type=int, default=9000, help="pairs of a stage that are kept in memory")
    p = parser.parse_args()
    begun, device = time.monotonic(), torch.device(p.device)

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {text}", flush=True)

    manifest, free = Manifest.load(p.data), set(json.loads(p.open.read_text(encoding="utf-8")))
    train, aside = manifest.files("train"), manifest.files("valid")
    feeder = Feeder(STAGES, {"all": train, "open": [e for e in train if e.key in free]}, p.workers, p.slots)
    p.out.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([stage.share for stage in STAGES]) / sum(stage.share for stage in STAGES) * 60 * p.minutes
    for number, stage in enumerate(STAGES):
        torch.manual_seed(stage.seed // 100)
        source = p.out / f"{stage.source}.safetensors"
        trainer = Trainer(stage, load_generator(source)[0] if stage.source else Generator(SHAPE), p.vgg, device)
        feeder.now.value = number
        steps = trainer.run(feeder.batches(number, device), ends[number] - (time.monotonic() - begun), say)
        say(f"{stage.name}: {steps} steps of {stage.batch}; set-aside faces {gain(trainer.average, aside, device)}")
        info = {"image_size": 256, "recipe": Path(stage.recipe).stem, "run_name": stage.name, "step": steps}
        save_generator(p.out / f"{stage.name}.safetensors", trainer.average, info)
    feeder.now.value = -1


if __name__ == "__main__":
    main()
