"""The worked example of docs/vectors.md, run as it is written, with the built-in model in the place of CLIP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vlsearch.encoders import registry
from vlsearch.encoders.vectors_file import VectorsEncoder

DOCS = Path(__file__).parent.parent.parent / "docs"
TEXTS = ["a red square", "a square red", "two dogs"]


def test_the_example_makes_a_model(
    photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    encoder = registry.load("builtin", precision="fp32")

    model, tokenizer = registry.create("builtin", None)
    pixels = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    preprocess = open_clip.transform.image_transform_v2(pixels, is_train=False)
    monkeypatch.setattr(open_clip, "create_model_and_transforms", lambda *_, **_options: (model, None, preprocess))
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda _: tokenizer)
    monkeypatch.chdir(tmp_path)
    photos(3, "images")
    Path("texts.jsonl").write_text("".join(json.dumps({"key": text}) + "\n" for text in TEXTS))
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "vectors.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(example, {})

    file = VectorsEncoder(Path("vectors.parquet"))
    np.testing.assert_allclose(file.embed_texts(TEXTS), encoder.embed_texts(TEXTS), atol=1e-4)
    assert file.photo_vectors(["/anywhere/00002.jpg", "00000.jpg"]).shape == (2, encoder.dim)
