"""`--weights FILE`: what fits is read, what does not is refused in one line, and nothing in a file is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders import registry
from vlsearch.errors import ModelError, ModelUnavailable, UsageError

Save = Callable[..., Path]


class Program:
    """What pickle runs when it is read: it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def refused(name: str, file: Path, error: type[Exception] = ModelError) -> str:
    with pytest.raises(error) as caught:
        registry.load(name, file)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("arch", ["tiny", "tiny-custom", "tiny-last"])
@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt", "weights.pth", "weights.bin"])
def test_weights_are_read_whatever_the_format(arch: str, file: str, save: Save) -> None:
    model = random_model(arch)
    encoder = registry.load(arch, save(model, file), "fp32")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.encode_text(tokenizer_of(arch)(["a dog"])), dim=-1)
    assert np.abs(encoder.embed_texts(["a dog"]) - expected.numpy()).max() <= 1e-5


def test_the_fingerprint_does_not_depend_on_the_format(save: Save) -> None:
    model = random_model("tiny")
    files = [save(model), save(model, "weights.pt"), save(model, "epoch.pt", epoch=3)]
    assert len({registry.load("tiny", file).fingerprint for file in files}) == 1


def test_a_checkpoint_of_a_training_is_read(save: Save) -> None:
    model = random_model("tiny")
    parallel = {f"module.{key}": value for key, value in model.state_dict().items()}
    file = save(model).with_name("epoch_7.pt")
    torch.save({"state_dict": parallel, "epoch": 7, "optimizer": {"lr": 0.1}}, file)
    assert registry.load("tiny", file).fingerprint == registry.load("tiny", save(model)).fingerprint


def test_half_precision_files_are_read(save: Save) -> None:
    model = random_model("tiny")
    full = registry.load("tiny", save(model), "fp32").embed_texts(["a dog"])
    half = registry.load("tiny", save(model.half(), "half.safetensors"), "fp32").embed_texts(["a dog"])
    assert np.abs(full - half).max() < 2e-3


def test_the_name_shows_the_file_and_the_source_finds_it_again(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(random_model("tiny"), "mine.safetensors")
    monkeypatch.chdir(file.parent)
    encoder = registry.load("tiny", Path("mine.safetensors"))
    assert encoder.name == "tiny@mine.safetensors"
    monkeypatch.chdir("/")
    assert registry.load_source(encoder.source).fingerprint == encoder.fingerprint


def test_a_pickle_with_a_program_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    mark, file = tmp_path / "was-run", tmp_path / "weights.pt"
    torch.save({"visual.proj": Program(mark)}, file)
    assert f"{file} holds a program, which vlsearch does not run" in refused("tiny", file)
    file.write_bytes(pickle.dumps({"visual.proj": Program(mark)}))
    assert "holds more than weights, which vlsearch does not read" in refused("tiny", file)
    assert not mark.exists()
    pickle.loads(file.read_bytes())
    assert mark.exists(), "the file must be able to do what is refused"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "model.pt"))
    assert "holds a program" in refused("tiny", tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("made_as", "loaded_as", "detail"),
    [
        ("tiny-deep", "tiny", "resblocks.2"),
        ("tiny", "tiny-deep", "resblocks.2"),
        ("tiny", "tiny-wide", "for another width"),
        ("tiny", "tiny-64", "for another image size"),
        ("tiny-64", "tiny-custom", "for another image size"),
        ("tiny-eos", "tiny", "size mismatch"),
    ],
)
@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt"])
def test_weights_of_another_architecture_are_refused(
    made_as: str, loaded_as: str, detail: str, file: str, save: Save
) -> None:
    message = refused(loaded_as, save(random_model(made_as), file))
    assert f"does not fit {loaded_as}: " in message
    assert detail in message


def test_weights_for_another_context_length_are_refused(save: Save) -> None:
    model = random_model("tiny")
    model.positional_embedding = torch.nn.Parameter(torch.zeros(64, 64))
    assert "for another context length" in refused("tiny", save(model))


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_was_cut_is_refused(file: str, share: float, save: Save) -> None:
    whole = save(random_model("tiny"), file)
    data = whole.read_bytes()
    whole.write_bytes(data[: int(share * len(data))])
    message = refused("tiny", whole)
    assert "is damaged, or holds no weights of tiny" in message
    assert str(whole) in message


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt"])
def test_what_is_no_file_of_weights_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"<!DOCTYPE html> not found " * 100)
    assert "is damaged, or holds" in refused("tiny", tmp_path / file)


def test_a_list_in_a_file_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pt")
    assert "is damaged, or holds no weights of tiny" in refused("tiny", tmp_path / "list.pt")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"x")
    assert "these end in .safetensors" in refused("tiny", tmp_path / "weights.npz", UsageError)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert f"no weights at {tmp_path / 'no.pt'}" in refused("tiny", tmp_path / "no.pt", ModelUnavailable)
    assert "no weights at" in refused("tiny", tmp_path, ModelUnavailable)


@pytest.mark.parametrize("name", ["ViT-B-33", "tiny/", "tiny/nothing", "local-dir:.", "a/b/c"])
def test_a_name_that_is_no_architecture(name: str, save: Save) -> None:
    assert "is no architecture of open_clip" in refused(name, save(random_model("tiny")), UsageError)


def test_architecture_and_tag_give_activation_and_pixels(save: Save, tag: Callable[..., None]) -> None:
    tag("tiny", "quick", kind="_slpcfg", hf_hub="org/quick/", quick_gelu=True)
    model = random_model("tiny-quickgelu")
    file = save(model)
    encoder = registry.load("tiny/quick", file, "fp32")
    assert (encoder.preprocess.mean, encoder.preprocess.resize_mode) == ((0.5, 0.5, 0.5), "squash")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.encode_text(tokenizer_of("tiny")(["a dog"])), dim=-1)
    assert np.abs(encoder.embed_texts(["a dog"]) - expected.numpy()).max() <= 1e-5
    assert registry.load("tiny-quickgelu", file).fingerprint != encoder.fingerprint


def test_an_architecture_alone_gives_the_pixels_that_its_tags_agree_on(save: Save, tag: Callable[..., None]) -> None:
    tag("tiny", "one", kind="_slpcfg", hf_hub="org/one/")
    tag("tiny", "two", kind="_slpcfg", hf_hub="org/two/")
    file = save(random_model("tiny"))
    assert registry.load("tiny", file).preprocess.mean == (0.5, 0.5, 0.5)
    tag("tiny", "three", hf_hub="org/three/")
    assert "say which as --model tiny/one or tiny/three" in refused("tiny", file, UsageError)


def test_a_configuration_beside_the_file_goes_first(save: Save) -> None:
    from tests.encoders.conftest import TEXT, VISION

    model = random_model("tiny-custom")
    file = save(model, "own/open_clip_pytorch_model.bin")
    save(random_model("tiny-custom", seed=1), "own/open_clip_model.safetensors")
    write_config(file.parent, {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT, "custom_text": True})
    encoder = registry.load("whatever it is called", file)
    assert encoder.preprocess.mean == (0.25, 0.5, 0.75)
    again = save(model, "plain/weights.safetensors")
    assert np.array_equal(registry.load("tiny-custom", again).embed_texts(["a dog"]), encoder.embed_texts(["a dog"]))


def test_a_damaged_configuration_is_one_line(save: Save) -> None:
    file = save(random_model("tiny"), "own/open_clip_model.safetensors")
    for text in ("{", "{}", '{"model_cfg": {}}'):
        (file.parent / "open_clip_config.json").write_text(text)
        assert "open_clip cannot make tiny" in refused("tiny", file)


def write_config(folder: Path, model: dict[str, Any]) -> None:
    import json

    pixels = {"mean": [0.25, 0.5, 0.75], "std": [0.2] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": pixels}))


def test_builtin_with_other_weights_of_its_kind(save: Save) -> None:
    model, _ = registry.create("builtin", None)
    before = registry.load("builtin").fingerprint
    model.logit_scale.data += 1
    encoder = registry.load("builtin", save(model))
    assert encoder.fingerprint != before
    assert encoder.name == "builtin@weights.safetensors"


@pytest.mark.slow
def test_a_real_architecture_with_random_weights(tmp_path: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32").eval()
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, tmp_path / "b32.safetensors")
    encoder = registry.load("ViT-B-32", tmp_path / "b32.safetensors", "fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - encoder._mean) / encoder._std
    texts = ["a dog on the beach", "two red cars"]
    with torch.inference_mode():
        images = torch.nn.functional.normalize(model.encode_image(x), dim=-1).numpy()
        captions = torch.nn.functional.normalize(model.encode_text(tokenizer_of("ViT-B-32")(texts)), dim=-1).numpy()
    assert np.abs(encoder.embed_images(pixels) - images).max() <= 1e-5
    assert np.abs(encoder.embed_texts(texts) - captions).max() <= 1e-5
    assert encoder.preprocess.size == (224, 224)
