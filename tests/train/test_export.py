"""What is saved is what open_clip, and vlsearch, load: the same vectors, whatever the architecture."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from vlsearch.encoders import registry
from vlsearch.encoders.names import source_of
from vlsearch.encoders.openclip import preprocess_of
from vlsearch.errors import ModelError, UsageError, VlsearchError
from vlsearch.train.export import config_of, save_model

VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
CONVOLUTIONS = {"timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "little": {},
    "little-quick": {"quick_gelu": True},
    "little-custom": {"custom_text": True, "vision_cfg": CONVOLUTIONS},
    "little-sigmoid": {"custom_text": True, "init_logit_bias": -10, "init_logit_scale": 2.3},
}
TEXTS = ["a dog on a beach", "two men"]


@pytest.fixture(scope="module", autouse=True)
def _architectures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("architectures")
    for name, changes in ARCHITECTURES.items():
        config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, **changes}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in ARCHITECTURES:
        del open_clip.factory._MODEL_CONFIGS[name]


def trained(arch: str, **options: Any) -> Any:
    """Far enough from where open_clip begins that every weight shows, statistics of batches too."""
    torch.manual_seed(0)
    model = open_clip.create_model(arch, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
    model.train()
    model.encode_image(torch.randn(4, 3, 32, 32))
    return model.eval().requires_grad_(False)


def outputs(model: Any) -> list[torch.Tensor]:
    torch.manual_seed(1)
    tokens = open_clip.get_tokenizer("little")(TEXTS)
    found = [model.encode_image(torch.randn(3, 3, 32, 32)), model.encode_text(tokens), model.logit_scale]
    return found if model.logit_bias is None else [*found, model.logit_bias]


def same(a: Any, b: Any, tolerance: float = 1e-6) -> bool:
    pairs = list(zip(outputs(a), outputs(b), strict=True))
    return all(torch.allclose(x, y, rtol=0, atol=tolerance) for x, y in pairs)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to write more than `size` bytes into a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_open_clip_alone_loads_what_was_saved(arch: str, tmp_path: Path) -> None:
    model = trained(arch)
    file = save_model(model, config_of(model, {"name": arch}), tmp_path / "out")
    again, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'out'}")
    assert same(model, again.eval())
    assert preprocess.transforms[0].size == 32
    assert preprocess_of(again) == preprocess_of(model)
    assert sorted(path.name for path in file.parent.iterdir()) == ["open_clip_config.json", file.name]
    assert file.stat().st_mode & 0o777 == (file.parent / "open_clip_config.json").stat().st_mode & 0o777


@pytest.mark.parametrize("arch", ["little-quick", "little-custom"])
def test_vlsearch_loads_it_and_can_save_it_once_more(arch: str, tmp_path: Path) -> None:
    model = trained(arch)
    config = config_of(model, {"name": arch})
    file = save_model(model, config, tmp_path / "a")
    source = source_of("mine", file)
    again, _ = registry.create(source["name"], Path(source["weights"]))
    assert same(model, again.eval())
    assert config_of(again, source) == config
    assert registry.load("mine", file, "fp32").dim == 16


def test_a_tag_brings_its_activation_and_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from open_clip import pretrained

    tag = pretrained._slpcfg(url="x", quick_gelu=True)
    monkeypatch.setitem(pretrained._PRETRAINED, "little", {"published": tag})
    first = save_model(trained("little"), config_of(trained("little"), {"name": "little"}), tmp_path / "first")
    weights = first.rename(first.with_name("weights.safetensors"))
    (first.parent / "open_clip_config.json").unlink()
    model, _ = registry.create("little/published", weights)
    config = config_of(model, source_of("little/published", weights))
    assert config["model_cfg"]["quick_gelu"] is True
    assert config["preprocess_cfg"]["resize_mode"] == "squash"
    save_model(model, config, tmp_path / "out")
    assert same(model.eval(), open_clip.create_model(f"local-dir:{tmp_path / 'out'}").eval())


def test_the_built_in_model_and_its_hardly_changed_half(tmp_path: Path) -> None:
    model, _ = registry.create("builtin", None)
    config = config_of(model, {"name": "builtin"})
    file = save_model(model, config, tmp_path / "out", half=True)
    with registry.builtin_folder() as folder:
        given = json.loads((folder / "open_clip_config.json").read_text())
        assert abs(file.stat().st_size - (folder / file.name).stat().st_size) < 20_000
    assert config == given
    kept = load_file(file)
    assert all(torch.equal(kept[name].float(), tensor.float()) for name, tensor in model.state_dict().items())


def test_half_keeps_what_fp16_cannot_hold(tmp_path: Path) -> None:
    model = trained("little-custom")
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.running_var.fill_(1e6)
    kept = load_file(save_model(model, config_of(model, {"name": "little-custom"}), tmp_path, half=True))
    kinds = {name: tensor.dtype for name, tensor in kept.items()}
    assert kinds["logit_scale"] == torch.float32
    assert kinds["text.token_embedding.weight"] == torch.float16
    assert torch.int64 in kinds.values()
    assert any(float(tensor.max()) == 1e6 for tensor in kept.values() if tensor.dtype == torch.float32 and tensor.ndim)
    assert same(model, open_clip.create_model(f"local-dir:{tmp_path}").eval(), 2e-2)


def test_a_bias_that_training_added_is_declared(tmp_path: Path) -> None:
    model = trained("little")
    model.logit_bias = torch.nn.Parameter(torch.tensor(-7.5), requires_grad=False)
    save_model(model, config_of(model, {"name": "little"}), tmp_path)
    assert same(model, open_clip.create_model(f"local-dir:{tmp_path}").eval())


def test_tied_weights_are_written_under_every_name(tmp_path: Path) -> None:
    model = trained("little")
    first, second = model.transformer.resblocks
    second.mlp.c_fc.weight = first.mlp.c_fc.weight
    save_model(model, config_of(model, {"name": "little"}), tmp_path)
    assert same(model, open_clip.create_model(f"local-dir:{tmp_path}").eval())


def test_a_tokenizer_of_hugging_face_lies_beside_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "a", "dog", "on", "the", "beach"])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        tmp_path / "words"
    )
    tokenizer = open_clip.tokenizer.HFTokenizer(str(tmp_path / "words"), context_length=16)
    model = trained("little-custom")
    config = config_of(model, {"name": "little-custom"})
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "org/words"
    with pytest.raises(ValueError, match="tokenizer beside it"):
        save_model(model, config, tmp_path / "out")
    file = save_model(model, config, tmp_path / "out", tokenizer=tokenizer)
    again = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    assert torch.equal(again(["the dog on a beach"]), tokenizer(["the dog on a beach"]))
    assert again(["the dog"])[0, :3].tolist() == [5, 3, 0]
    assert registry.load("mine", file, "fp32").embed_texts(["a dog"]).shape == (1, 16)
    with files_up_to(20), pytest.raises(VlsearchError, match="tokenizer_config"):
        save_model(model, config, tmp_path / "other", tokenizer=tokenizer)


def test_a_full_disk_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    model = trained("little")
    config = config_of(model, {"name": "little"})
    file = save_model(model, config, tmp_path)
    before = file.read_bytes()
    with torch.no_grad():
        model.logit_scale += 1
    with files_up_to(100_000), pytest.raises(VlsearchError) as raised:
        save_model(model, config, tmp_path)
    assert str(raised.value).startswith(f"cannot write {file}: File too large; make room")
    assert file.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    model = trained("little")
    with pytest.raises(VlsearchError, match=r"cannot write .*taken: File exists"):
        save_model(model, config_of(model, {"name": "little"}), tmp_path / "taken")


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    model = trained("little")
    model.visual.conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"visual\.conv1\.weight holds values that are no numbers"):
        save_model(model, config_of(model, {"name": "little"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_name_has_no_configuration() -> None:
    with pytest.raises(UsageError, match="nonsense is no architecture"):
        config_of(trained("little"), {"name": "nonsense"})


def test_a_recommended_name_needs_no_download_for_its_configuration() -> None:
    model = trained("little")
    assert config_of(model, {"name": "ViT-B-32/openai"})["model_cfg"]["quick_gelu"] is True
    assert "quick_gelu" not in config_of(model, {"name": "ViT-B-32-256/datacomp_s34b_b86k"})["model_cfg"]
