"""Every file that a restorer comes in; a file that is none says what was tried, and no code from a file runs."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from published import draw, tensors
from restorers import SMALL, made
from safetensors.torch import save_file

import hifacegan_lib as hf
from hifacegan_lib import cli
from hifacegan_lib.models.checkpoints import save_generator
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.params import PhotoRestoration
from hifacegan_lib.pipeline import find_restorer
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils import images, weight_registry
from hifacegan_lib.utils.files import sha256


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def by_hand(network: Any, face: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return images.to_uint8(network(images.to_float(face)[None])[0].clamp(0, 1))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors", ".bin"])
def test_a_network_of_others_is_restored_by_whatever_its_file_is_called(suffix: str, tmp_path: Path) -> None:
    network, path = made(SMALL["NAFNet"]), tmp_path / f"über die Größe{suffix}"
    weights = network.state_dict()
    save_file(weights, path) if suffix == ".safetensors" else torch.save({"params": weights}, path)
    model = pretrained.load_model(path)
    assert model.card.to_dict() == {
        "name": path.name,
        "architecture": "NAFNet",
        "parameters": sum(values.numel() for values in network.parameters()),
        "sha256": sha256(path),
        "licence": None,
        "size": None,
        "scale": 1,
        "square": False,
        "recolours": False,
        "resizing": "none: every face is shown at its size",
    }
    assert model.engine.startswith("PyTorch ") and model.engine.endswith("cpu, float32")
    face = noise(24, 40)
    assert np.array_equal(model.restore([face])[0], by_hand(network, face))


def test_an_enlarged_face_is_shrunk_to_its_size(tmp_path: Path) -> None:
    network = made(SMALL["SwinIR x2"])
    torch.save(network.state_dict(), tmp_path / "x2.pth")
    model, face = pretrained.load_model(tmp_path / "x2.pth"), noise(32, 32)
    assert (model.card.scale, model.card.size) == (2, None)
    assert np.array_equal(model.restore([face])[0], images.resize(by_hand(network, face), 32, 32))


def test_a_network_for_faces_takes_512_pixels(tmp_path: Path) -> None:
    torch.save(made(SMALL["RestoreFormer"]).state_dict(), tmp_path / "faces.ckpt")
    card = pretrained.load_model(tmp_path / "faces.ckpt").card
    assert (card.architecture, card.size, card.square) == ("RestoreFormer", 512, True)


@pytest.mark.parametrize("variant", ["spade", "lipspade", "hifacegan"])
def test_the_published_hifacegan_draws_as_its_authors_test_it(variant: str, tmp_path: Path) -> None:
    given = tensors(variant, 4)
    torch.save(given, tmp_path / "latest_net_G.pth")
    model, face = pretrained.load_model(tmp_path / "latest_net_G.pth"), noise(512, 512)
    assert (model.card.size, model.card.square) == (512, False)
    assert model.card.architecture == f"HiFaceGAN {variant}, published by Face-Renovation"
    theirs = draw(variant, given, images.to_float(face)[None], True)[0].clamp(0, 1)
    assert np.abs(model.restore([face])[0].astype(float) - images.to_uint8(theirs)).max() <= 1


def graph(path: Path, scale: int, side: int | str = "side") -> Path:
    """An ONNX file of somebody: each pixel repeated, of any size or of one."""
    out = scale * side if isinstance(side, int) else "larger"
    image, drawn = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, length, length])
        for name, length in (("x", side), ("y", out))
    )
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, scale, scale])
    node = helper.make_node(
        "Resize",
        ["x", "", "scales"],
        ["y"],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    made = helper.make_model(
        helper.make_graph([node], "g", [image], [drawn], [scales]), opset_imports=[helper.make_opsetid("", 18)]
    )
    made.ir_version = 9
    onnx.save(made, path)
    return path


@pytest.mark.parametrize(("scale", "side"), [(1, "side"), (2, "side"), (1, 48), (4, 16)])
def test_an_onnx_file_of_others_shows_its_size_and_scale(scale: int, side: int | str, tmp_path: Path) -> None:
    model = pretrained.load_model(graph(tmp_path / "any.onnx", scale, side), device="auto")
    size = side if isinstance(side, int) else None
    assert (model.card.size, model.card.scale, model.card.square) == (size, scale, size is not None)
    assert model.card.architecture == "ONNX graph"
    face = noise(48, 48)
    (drawn,) = model.restore([face])
    assert np.array_equal(drawn, face) == (size in (None, 48)) and drawn.shape == face.shape


def test_real_esrgan_comes_by_name_with_its_licence() -> None:
    name = "realesrgan-x4plus"
    if not weight_registry.is_present(name):
        with pytest.raises(FileNotFoundError, match=f"hifacegan weights fetch {name}"):
            pretrained.load_model(name)
        return
    card = pretrained.load_model(name).card
    assert (card.name, card.architecture, card.licence, card.scale) == (name, "ESRGAN", "BSD-3-Clause", 4)
    assert card.parameters == 16_697_987 and card.sha256 == weight_registry.sha256(name)


# folders of results


def test_a_folder_of_results_maps_keys_to_files_and_restores_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "ihre Ergebnisse"
    for name in ("a.png", "deep/b.jpg", "ä ö.png"):
        images.save_image(folder / name, noise(8, 8))
    (folder / "notes.txt").write_text("left aside")
    model = pretrained.load_model(folder)
    expected = {"a": folder / "a.png", "deep/b": folder / "deep/b.jpg", "ä ö": folder / "ä ö.png"}
    assert model.results == expected and "c" not in model.results
    assert model.card.architecture == "3 results, as files" and len(model.card.sha256) == 64
    with pytest.raises(ValueError, match="ihre Ergebnisse: a folder of results restores no other faces"):
        model.restore([noise(8, 8)])
    again = pretrained.load_model(folder).sha256
    images.save_image(folder / "a.png", noise(9, 9))
    assert model.sha256 == again != pretrained.load_model(folder).sha256
    images.save_image(folder / "a.webp", noise(8, 8))
    with pytest.raises(ValueError, match=r"a\.webp and a\.png: two pictures of one name"):
        pretrained.load_model(folder)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image file below it"):
        pretrained.load_model(tmp_path)


def test_the_command_refuses_a_folder_of_results_before_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images.save_image(tmp_path / "results" / "a.png", noise(8, 8))
    source, out = tmp_path / "results" / "a.png", tmp_path / "out"
    assert cli.main(["restore", str(source), str(out), "--weights", str(tmp_path / "results")]) == 1
    assert "a folder of results restores no other faces" in capsys.readouterr().err and not out.exists()


# evaluations and notebooks


def test_a_restorer_of_others_is_evaluated_and_its_card_is_a_condition(tmp_path: Path) -> None:
    torch.save(made(SMALL["SwinIR x2"]).state_dict(), tmp_path / "x2.pth")
    model, clean = pretrained.load_model(tmp_path / "x2.pth"), torch.rand(2, 3, 16, 16)
    found = hf.evaluate({"x2": model}, [{"clean": clean, "degraded": clean, "key": ["a", "b"]}], ("psnr",), "cpu")
    assert [row["method"] for row in found.rows] == ["degraded", "x2"] and found.rows[1]["psnr"] > 0
    assert found.conditions["restorers"] == {"x2": model.card.to_dict()}


def test_notebook_06_takes_names_and_files(tmp_path: Path) -> None:
    torch.save(made(SMALL["NAFNet"]).state_dict(), tmp_path / "theirs.pth")
    for given, name in (("open-256", "open-256 (blend 0)"), (str(tmp_path / "theirs.pth"), "theirs.pth")):
        assert find_restorer(PhotoRestoration(weights=given, device="cpu")).name == name
    with pytest.raises(FileNotFoundError, match="and no file or folder has this path"):
        find_restorer(PhotoRestoration(weights="other.pth", device="cpu"))


# what is none


class Harmful:
    """A pickle of it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["torch", "old torch", "pickle"])
def test_code_in_a_pickle_does_not_run(writer: str, tmp_path: Path) -> None:
    path, sign = tmp_path / "network.pth", tmp_path / "it ran"
    content = {**made(SMALL["NAFNet"]).state_dict(), "epoch": Harmful(sign)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(
        ValueError, match=r"network\.pth: not a file with only tensors \(it asks for .*, and no code from a file is run"
    ):
        pretrained.load_model(path)
    assert not sign.exists()


@pytest.mark.filterwarnings("ignore:.*is deprecated. Please switch:FutureWarning")
def test_a_script_is_not_run_either(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 16, 16), check_trace=False).save(tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net\.pt: not a file with only tensors \(.*TorchScript"):
        pretrained.load_model(tmp_path / "net.pt")


def stored(folder: Path, suffix: str) -> Path:
    path = folder / f"whole{suffix}"
    if suffix == ".onnx":
        return graph(path, 1)
    if suffix == ".safetensors":
        return save_generator(path, Generator(GeneratorConfig(width=4, stages=1, hidden=4)), {"image_size": 16})
    torch.save(made(SMALL["NAFNet"]).state_dict(), path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx"])
def test_a_file_that_is_cut_off_or_noise_is_named(suffix: str, tmp_path: Path) -> None:
    whole = stored(tmp_path, suffix).read_bytes()
    noisy = np.random.default_rng(3).bytes(len(whole))
    contents = [whole[: int(share * len(whole))] for share in (0, 0.01, 0.3, 0.9)] + [
        whole[:-1],
        noisy,
        b"<html>not found",
    ]
    for content in contents:
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"cut\{suffix}: "):
            pretrained.load_model(path)


def test_tensors_of_no_restorer_say_what_was_tried(tmp_path: Path) -> None:
    for content in ({"layer.weight": torch.zeros(3, 3)}, {"step": 7}, [torch.zeros(2)], {}):
        torch.save(content, tmp_path / "net.pth")
        with pytest.raises(ValueError) as caught:
            pretrained.load_model(tmp_path / "net.pth")
        for said in (
            "net.pth: no restorer is recognised",
            "this workbench: the file has no description",
            "published HiFaceGAN: no published generator: no tensor",
            "spandrel knows no network",
        ):
            assert said in str(caught.value)


def test_names_and_options_that_fit_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"'gfpgan': shipped are compact-256, .*fetched can be realesrgan-x4plus; and no file"
    ):
        pretrained.load_model("gfpgan")
    path = stored(tmp_path, ".pth")
    with pytest.raises(ValueError, match="one network; only shipped weights have two flavours"):
        pretrained.load_model(path, 0.5)
    with pytest.raises(ValueError, match=r"drawn on the CPU in float32; got cpu, bfloat16"):
        pretrained.load_model(stored(tmp_path, ".onnx"), precision="bfloat16")


def test_an_onnx_file_that_is_no_restorer_is_refused(tmp_path: Path) -> None:
    image, drawn = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, "h", "w"]) for n in "xy")
    for operation in ("GlobalAveragePool", "Shape"):
        kind = drawn if operation == "GlobalAveragePool" else helper.make_tensor_value_info("y", TensorProto.INT64, [4])
        node = helper.make_node(operation, ["x"], ["y"])
        model = helper.make_model(
            helper.make_graph([node], "g", [image], [kind]), opset_imports=[helper.make_opsetid("", 18)]
        )
        model.ir_version = 9
        onnx.save(model, tmp_path / "net.onnx")
        with pytest.raises(ValueError, match=r"net\.onnx: expected one float32 image N x 3 x H x W in, and one out"):
            pretrained.load_model(tmp_path / "net.onnx")


def test_a_photograph_is_restored_by_a_network_of_others(tmp_path: Path) -> None:
    from skimage import data

    torch.save(made(SMALL["SwinIR x2"]).state_dict(), tmp_path / "x2.pth")
    model: Model = pretrained.load_model(tmp_path / "x2.pth")
    photo = data.astronaut()[:256, 96:352]
    found = pretrained.restore(photo, model, detector="haar", scale=1)
    assert found.image.shape == photo.shape and len(found.faces) == 1 and (found.image != photo).any()
    assert found.trace["weights"] == "x2.pth" and found.trace["sha256"] == model.sha256
