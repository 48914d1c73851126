"""The wrapper against open_clip itself."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders.openclip import LETTERS_PER_TOKEN, OpenClipEncoder, fingerprint, preprocess_of

TEXTS = [
    "a dog on the beach",
    "",
    "wow!🙂",
    "two children in red coats throw snow at a wall",
    "Straße 東京 собака, don't — 42!",
    "dog",
]


def wrap(arch: str, precision: str = "fp32", seed: int = 0, model: Any = None) -> OpenClipEncoder:
    model = copy.deepcopy(model) if model is not None else random_model(arch, seed)
    return OpenClipEncoder(model, tokenizer_of(arch), arch, {"name": arch}, precision, "cpu")


def photos(n: int, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def normalised(rows: torch.Tensor) -> NDArray[np.float32]:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


ARCHITECTURES = ["tiny", "tiny-custom", "tiny-quickgelu", "tiny-last", "tiny-causal-last", "tiny-open"]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_images_equal_those_of_open_clip(arch: str) -> None:
    from PIL import Image

    model = random_model(arch)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    pixels = photos(70)
    with torch.inference_mode():
        expected = normalised(model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in pixels])))
    found = wrap(arch, model=model).embed_images(pixels)
    assert found.dtype == np.float32
    assert found.shape == (70, 32)
    assert np.abs(found - expected).max() <= 1e-5
    assert expected.std(0).mean() > 1e-3


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_texts_equal_those_of_open_clip(arch: str) -> None:
    model = random_model(arch)
    with torch.inference_mode():
        expected = normalised(model.encode_text(tokenizer_of(arch)(TEXTS)))
    found = wrap(arch, model=model).embed_texts(TEXTS)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-5
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_half_precision_differs_by_rounding_only(arch: str) -> None:
    full, half = wrap(arch), wrap(arch, "bf16")
    assert half.embed_texts(TEXTS).dtype == half.embed_images(photos(2)).dtype == np.float32
    assert (full.embed_texts(TEXTS) * half.embed_texts(TEXTS)).sum(1).min() >= 0.999
    assert (full.embed_images(photos(20)) * half.embed_images(photos(20))).sum(1).min() >= 0.999
    assert np.abs(full.embed_texts(TEXTS) - half.embed_texts(TEXTS)).max() > 1e-5, "bf16 was not used"


@pytest.mark.parametrize("arch", ["tiny", "tiny-last"])
def test_the_order_of_texts_is_kept_over_batches(arch: str) -> None:
    encoder = wrap(arch)
    texts = [f"photo {i}" + " word" * (i * 7 % 31) for i in range(600)]
    rows = encoder.embed_texts(texts)
    for i in (0, 1, 299, 599):
        assert np.abs(rows[i] - encoder.embed_texts([texts[i]])[0]).max() < 1e-5
    assert len(np.unique(rows.round(4), axis=0)) == 600


@pytest.mark.parametrize("arch", ["tiny", "tiny-last"])
def test_none_at_all(arch: str) -> None:
    encoder = wrap(arch)
    assert encoder.embed_texts([]).shape == (0, 32)
    assert encoder.embed_images(photos(0)).shape == (0, 32)
    assert encoder.embed_images(photos(0)).dtype == encoder.embed_texts([]).dtype == np.float32


def test_a_text_of_10000_words_equals_its_beginning() -> None:
    encoder = wrap("tiny")
    words = [f"{word}{i % 97}" for i, word in enumerate(["dog", "sea", "red", "boat"] * 2500)]
    long, short = encoder.embed_texts([" ".join(words), " ".join(words[:80])])
    assert np.abs(long - short).max() < 1e-6


def test_a_word_of_100000_letters_takes_no_minutes() -> None:
    encoder = wrap("tiny")
    letters = "".join(chr(97 + i) for i in np.random.default_rng(0).integers(0, 26, 100_000))
    start = time.perf_counter()
    rows = encoder.embed_texts(["dog", letters])
    assert time.perf_counter() - start < 5
    assert np.isfinite(rows).all()


def test_no_entry_of_the_vocabulary_is_longer_than_what_is_kept_for_a_token() -> None:
    vocabulary = tokenizer_of("tiny").encoder
    assert max(len(entry) for entry in vocabulary if not entry.startswith("<")) < LETTERS_PER_TOKEN


def test_what_is_no_character_is_embedded_as_one_that_says_so() -> None:
    encoder = wrap("tiny")
    assert np.isfinite(encoder.embed_texts(["\udcff photo", "\x00", "\u202e", "e\u0301"])).all()
    seen: list[str] = []
    tokenizer = encoder._tokenizer
    encoder._tokenizer = lambda texts: (seen.extend(texts), tokenizer(texts))[1]
    encoder.embed_texts(["a\udcffb", "𝄞"])
    assert seen == ["a\ufffdb", "𝄞"]


@pytest.mark.parametrize("pixels", [photos(1, 33), photos(2)[0], photos(1).astype(np.float32), photos(1)[..., :1]])
def test_pixels_of_the_wrong_shape_are_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(n, 32, 32, 3\)"):
        wrap("tiny").embed_images(pixels)


def test_pixels_may_be_read_only_or_reversed() -> None:
    encoder, pixels = wrap("tiny"), photos(3)
    expected = encoder.embed_images(pixels)
    fixed = pixels.copy()
    fixed.flags.writeable = False
    assert np.array_equal(encoder.embed_images(fixed), expected)
    assert np.array_equal(encoder.embed_images(pixels[::-1])[::-1], expected)
    assert np.array_equal(pixels, photos(3)), "the caller's pixels were changed"


def test_what_an_encoder_says_of_itself() -> None:
    encoder = wrap("tiny")
    assert (encoder.dim, encoder.context_length, encoder.preprocess.size) == (32, 77, (32, 32))
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert (encoder.name, encoder.source, encoder.precision) == ("tiny", {"name": "tiny"}, "fp32")


def test_preprocessing_is_the_models_own() -> None:
    model = random_model(
        "tiny",
        force_preprocess_cfg={
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "interpolation": "bilinear",
            "resize_mode": "squash",
        },
    )
    cfg = preprocess_of(model)
    assert (cfg.mean, cfg.std, cfg.interpolation, cfg.resize_mode) == ((0.5,) * 3, (0.25,) * 3, "bilinear", "squash")
    model.visual.preprocess_cfg["size"] = (48, 32)
    assert preprocess_of(model).size == (48, 32)


def print_of(model: Any, tokenizer: Any = None) -> str:
    return fingerprint(model, preprocess_of(model), tokenizer or tokenizer_of("tiny"))


def test_a_fingerprint_is_the_same_for_the_same_model_at_any_precision() -> None:
    prints = {wrap("tiny", precision).fingerprint for precision in ("fp32", "bf16")}
    assert prints == {print_of(random_model("tiny"))}
    assert len(prints.pop()) == 64


def test_a_fingerprint_changes_with_one_weight() -> None:
    model = random_model("tiny")
    before = print_of(model)
    weight = model.visual.conv1.weight.view(-1)
    weight[5] = torch.nextafter(weight[5], torch.tensor(9.0))
    assert print_of(model) != before


@pytest.mark.parametrize(
    "change", [{"mean": [0.5] * 3}, {"std": [0.25] * 3}, {"interpolation": "bilinear"}, {"resize_mode": "squash"}]
)
def test_a_fingerprint_changes_with_the_preprocessing(change: dict[str, Any]) -> None:
    assert print_of(random_model("tiny", force_preprocess_cfg=change)) != print_of(random_model("tiny"))


def test_a_fingerprint_changes_with_the_tokenizer() -> None:
    model = random_model("tiny")
    shorter = open_clip.SimpleTokenizer(context_length=64)
    cased = open_clip.SimpleTokenizer(context_length=77, clean="whitespace")
    assert len({print_of(model), print_of(model, shorter), print_of(model, cased)}) == 3


def test_a_fingerprint_changes_with_the_activation_which_no_weight_shows() -> None:
    plain, quick = random_model("tiny"), random_model("tiny-quickgelu")
    quick.load_state_dict(plain.state_dict())
    assert print_of(plain) != print_of(quick)
    assert (
        np.abs(wrap("tiny", model=plain).embed_texts(TEXTS) - wrap("tiny", model=quick).embed_texts(TEXTS)).max() > 1e-3
    )
