"""`vlsearch train` as a user meets it: what it prints and writes, what it makes of bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Done
from vlsearch.cli import run
from vlsearch.encoders import registry
from vlsearch.train.export import save_model
from vlsearch.train.material import arch_config, from_nothing

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
COLOURS = ("red", "green", "blue", "white", "black")
ANIMALS = ("dog", "cat", "horse", "bird")
CAPTIONS = [f"a {COLOURS[i % 5]} {ANIMALS[i % 4]} chases a {COLOURS[(i + 1) % 5]} ball" for i in range(20)]
TEXTS = ["a red dog chases a white cat", "two birds"]

Train = Callable[..., Done]
Data = Callable[..., tuple[str, ...]]


@pytest.fixture
def train(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs `vlsearch ARGUMENTS` in `tmp_path`, with models as they are; two steps unless it says otherwise."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.json").write_text(json.dumps(TINY))

    def go(command: str, *args: str | Path) -> Done:
        capfdbinary.readouterr()
        length = () if {"--steps", "--epochs"} & {*args} else ("--steps", "2")
        code = run(["train", command, *map(str, (*args, *length))])
        out, err = capfdbinary.readouterr()
        return Done(code, out, err.decode())

    return go


@pytest.fixture
def data(photos: Callable[..., Path], tmp_path: Path) -> Data:
    """Options that name a dataset of photos with these captions."""

    def make(captions: Sequence[str] = CAPTIONS, photo: Sequence[int] | None = None) -> tuple[str, ...]:
        owner = range(len(captions)) if photo is None else photo
        photos(max(owner) + 1)
        told = {
            "images": [{"id": n, "file_name": f"{n:05d}.jpg"} for n in range(max(owner) + 1)],
            "annotations": [
                {"id": i, "image_id": n, "caption": text}
                for i, (n, text) in enumerate(zip(owner, captions, strict=True))
            ],
        }
        (tmp_path / "captions.json").write_text(json.dumps(told))
        return "--dataset", "captions.json", "--images", "photos"

    return make


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    config = arch_config(str(folder / "tiny.json"))
    save_model(from_nothing(config, folder, seed=1)[0], config, folder)
    return folder


def text_vectors(model: Any, tokenizer: Any, texts: Sequence[str] = TEXTS) -> np.ndarray[Any, Any]:
    import torch

    with torch.inference_mode():
        found: np.ndarray[Any, Any] = model.encode_text(tokenizer(list(texts)), normalize=True).numpy()
    return found


def test_from_a_dataset_to_a_model(train: Train, data: Data) -> None:
    done = train("negclip", *data(), "--arch", "tiny.json", "--held-out", "0.4", "--out", "mine")
    assert (done.code, done.err) == (0, "")
    said, rest = done.text.split("\n\n", 1)
    assert "order choice" in said.lower()
    assert "Only " in said
    assert rest.startswith("In percent, with 95 % intervals of the differences, on ")
    assert max(map(len, rest.splitlines())) <= 80 + len("In percent")
    assert done.text.endswith("\n  vlsearch ingest PHOTOS --model local-dir:mine\n")
    assert sorted(file.name for file in Path("mine").iterdir()) == [
        "README.md",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "training.json",
    ]
    card = Path("mine/README.md").read_text()
    assert " ".join(said.split()) in card
    assert "| negatives | nouns, adjectives, verbs, adverbs |" in card


def test_open_clip_alone_loads_it(train: Train, data: Data) -> None:
    import open_clip

    assert train("negclip", *data(), "--arch", "tiny.json", "--held-out", "0", "--out", "mine").code == 0
    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:mine")
    alone = text_vectors(model.eval(), open_clip.get_tokenizer("local-dir:mine"))
    np.testing.assert_allclose(registry.load("local-dir:mine", precision="fp32").embed_texts(TEXTS), alone, atol=1e-5)
    assert preprocess is not None


def test_from_a_library_and_back(
    train: Train, photos: Callable[..., Path], base: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With the library's own model, which is a folder beside, and both models in the library in the end."""
    photos(8)
    shutil.copytree(base, "first")
    Path("captions.jsonl").write_text(
        "".join(json.dumps({"path": f"{n:05d}.jpg", "caption": CAPTIONS[n]}) + "\n" for n in range(8))
    )
    assert run(["ingest", "photos", "--model", "local-dir:first"]) == 0
    assert run(["captions", "import", "captions.jsonl"]) == 0
    done = train("negclip", "--held-out", "0", "--rate", "0.01", "--out", "second", "--json")
    assert done.code == 0, done.err
    before, after = (registry.create(f"local-dir:{name}", None) for name in ("first", "second"))
    assert np.abs(text_vectors(*before) - text_vectors(*after)).max() > 1e-3
    assert run(["ingest", "photos", "--model", "local-dir:second"]) == 0
    capfdbinary.readouterr()
    assert run(["query", "a dog", "--model", "local-dir:second", "--json", "-k", "3"]) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 3


def test_json_has_all_that_is_printed(train: Train, data: Data) -> None:
    done = train("negclip", *data(), "--arch", "tiny.json", "--held-out", "0.4", "--out", "mine", "--json")
    (told,) = done.rows
    assert told["folder"] == "mine"
    assert told["steps"] == 2
    assert told["verdict"] in " ".join(Path("mine/README.md").read_text().split())
    assert {"retrieval", "order"} == {change["kind"] for change in told["changes"]}
    kept = json.loads(Path("mine/training.json").read_text())
    assert {key: kept[key] for key in told} == told


def test_a_run_that_only_trains_says_where_the_model_is(train: Train, data: Data) -> None:
    done = train("negclip", *data(), "--arch", "tiny.json", "--held-out", "0", "--out", "mine")
    assert done.text.startswith("The model is in mine, its card in mine/README.md.")
    assert "Before and after" not in Path("mine/README.md").read_text()


def test_plain_contrast_and_the_sigmoid_loss(train: Train, data: Data) -> None:
    options = ("--arch", "tiny.json", "--held-out", "0", "--negatives", "none", "--neighbours", "0")
    assert train("negclip", *data(), *options, "--loss", "sigmoid", "--out", "mine").code == 0
    model, _ = registry.create("local-dir:mine", None)
    assert model.logit_bias is not None
    assert "without hard negatives" in Path("mine/README.md").read_text()


def test_what_comes_from_the_environment_is_no_model_that_was_asked_for(
    train: Train, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLSEARCH_MODEL", "builtin")
    assert train("negclip", *data(), "--arch", "tiny.json", "--held-out", "0", "--out", "mine").code == 0


def test_adapters_are_merged(train: Train, data: Data, base: Path) -> None:
    pytest.importorskip("peft")
    options = ("--model", f"local-dir:{base}", "--held-out", "0", "--lora", "2", "--rate", "0.01")
    assert train("negclip", *data(), *options, "--out", "mine").code == 0
    own, begun = registry.create("local-dir:mine", None)[0], registry.create(f"local-dir:{base}", None)[0]
    assert own.state_dict().keys() == begun.state_dict().keys()


def test_a_frozen_tower_stays_as_it_is(train: Train, data: Data, base: Path) -> None:
    options = ("--model", f"local-dir:{base}", "--held-out", "0", "--freeze", "image", "--rate", "0.01")
    done = train("negclip", *data(), *options, "--out", "mine")
    assert (done.code, done.err) == (0, "")
    own, begun = (registry.create(f"local-dir:{folder}", None)[0].state_dict() for folder in ("mine", base))
    assert {name.startswith("visual.") for name, values in own.items() if not values.equal(begun[name])} == {False}


@pytest.fixture
def vectors(tmp_path: Path) -> Callable[..., str]:
    """A file with vectors of so many dimensions of texts and of photos 0..n-1."""

    def make(texts: Sequence[str], n: int, dim: int = 16) -> str:
        keys = [*texts, *(f"{i:05d}.jpg" for i in range(n))]
        rows = np.random.default_rng(0).normal(size=(len(keys), dim)).astype(np.float32)
        np.savez(tmp_path / "teacher.npz", key=np.array(keys), vector=rows)
        return "vectors:teacher.npz"

    return make


def test_a_student_of_vectors(train: Train, data: Data, vectors: Callable[..., str]) -> None:
    teacher = vectors(CAPTIONS, 20)
    options = ("--arch", "tiny.json", "--held-out", "0", "--rate", "0.003", "--steps", "60", "--batch", "20")
    assert train("distill", *data(), *options, "--teacher", teacher, "--out", "small").code == 0
    with np.load("teacher.npz") as told:
        taught = told["vector"][: len(CAPTIONS)]
    taught /= np.linalg.norm(taught, axis=1, keepdims=True)
    learnt = registry.load("local-dir:small", precision="fp32").embed_texts(CAPTIONS)
    assert (learnt * taught).sum(axis=1).mean() > 0.3
    assert "Its teacher was vectors:teacher.npz" in Path("small/README.md").read_text()


def test_a_student_of_a_model(train: Train, data: Data, base: Path) -> None:
    options = ("--arch", "tiny.json", "--held-out", "0.4", "--teacher", f"local-dir:{base}")
    done = train("distill", *data(), *options, "--out", "small")
    assert (done.code, done.err) == (0, "")
    assert "Its teacher was local-dir:" in Path("small/README.md").read_text()


def test_photos_that_cannot_be_read_are_left_out(train: Train, data: Data) -> None:
    """Of those trained on and of those held out; all others are used, and the exit code says it."""
    options = data()
    for n in range(0, 20, 3):
        Path(f"photos/{n:05d}.jpg").write_bytes(b"no photo")
    done = train("negclip", *options, "--arch", "tiny.json", "--held-out", "0.5", "--out", "mine", "--json")
    assert done.code == 1
    lines = done.err.splitlines()
    assert sorted(line.split("'")[1] for line in lines) == [f"{n:05d}.jpg" for n in range(0, 20, 3)]
    assert all(line.startswith("vlsearch: cannot read '") and line.endswith("; left out") for line in lines)
    (told,) = done.rows
    assert len(told["unreadable"]) == 7
    assert "7 photos could not be read and were left out." in Path("mine/README.md").read_text()
    held = {change["n"] for change in told["changes"] if change["kind"] == "retrieval"}
    trained_on = int(Path("mine/README.md").read_text().split("| captions.json | ")[1].split(" ")[0])
    assert held == {13 - trained_on}


ARCH = ("--arch", "tiny.json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*ARCH, "--model", "builtin"), "--arch begins with random weights, --model with trained ones; give one"),
        (("--arch", "none.json"), "cannot read none.json: no such file"),
        (("--arch", "broken.json"), "broken.json is no JSON: "),
        (("--arch", "empty.json"), "empty.json holds no open_clip architecture: neither vision_cfg nor model_cfg"),
        (("--arch", "wrong.json"), "open_clip cannot make this architecture: "),
        (("--arch", "ViT-Q"), "ViT-Q is no architecture of open_clip (`vlsearch models`), and no .json file"),
        ((*ARCH, "--negatives", "rhymes"), "no hard negative is called 'rhymes'; there are nouns, adjectives,"),
        ((*ARCH, "--negatives", "adverbs"), "none of 12 captions has a hard negative of the kinds adverbs; "),
        ((*ARCH, "--held-out", "0.0001"), "none of 20 photos with captions is among the 0.01 % held out"),
        ((*ARCH, "--sugarcrepe", "crepe"), "--sugarcrepe DIR, its files, and --sugarcrepe-images DIR"),
        ((*ARCH, "--labelled", "photos"), "photos holds 0 classes, and zero-shot top-1 needs two or more"),
        ((*ARCH, "--freeze", "left"), "cannot freeze 'left'; there are 'image' and 'text'"),
        ((*ARCH, "--out", "taken"), "taken holds a trained model already; give another --out, or delete it"),
        ((*ARCH, "--out", "model"), "model holds a trained model already; give another --out, or delete it"),
        (("--weights", "mine.safetensors"), "--weights needs --model ARCHITECTURE"),
        (("--model", "BASE", "--loss", "sigmoid"), "the sigmoid loss needs a bias, which local-dir:"),
    ],
)
def test_what_does_not_go_together(
    train: Train, data: Data, base: Path, options: Sequence[str], said: str, tmp_path: Path
) -> None:
    shown = data()
    Path("broken.json").write_text('{"embed_dim": ')
    Path("empty.json").write_text("[]")
    Path("wrong.json").write_text(json.dumps(TINY | {"embed_dim": "many"}))
    for folder, file in (("taken", "training.json"), ("model", "open_clip_model.safetensors")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    given = [f"local-dir:{base}" if option == "BASE" else option for option in options]
    done = train("negclip", "--held-out", "0.4", "--out", "mine", *shown, *given)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith(f"vlsearch: {said}"), done.err
    assert done.err.count("\n") == 1
    assert not list(Path().glob("mine/*.safetensors"))


@pytest.mark.parametrize(
    ("captions", "photo", "options", "said"),
    [
        (["a dog by a cat"], [0], (), "one photo with captions has nothing to be told apart from"),
        (["a dog", "a cat"], [0, 0], (), "one photo with captions has nothing to be told apart from"),
        (["a dog", "A dog."], [0, 1], ("--held-out", "0.5"), "photos that share a caption stay together"),
        (["a dog", "a cat"], [0, 1], ("--held-out", "0.5"), "where two are needed"),
    ],
)
def test_too_few_photos(
    train: Train, data: Data, captions: Sequence[str], photo: Sequence[int], options: Sequence[str], said: str
) -> None:
    options = (*data(captions, photo), *ARCH, "--held-out", "0", *options)
    done = train("negclip", *options, "--negatives", "none", "--out", "mine")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_two_photos_with_one_caption_are_no_negatives_of_each_other(train: Train, data: Data) -> None:
    options = (*data(["a dog", "A dog"]), *ARCH, "--negatives", "none", "--neighbours", "0", "--held-out", "0")
    done = train("negclip", *options, "--batch", "2", "--out", "mine")
    assert done.code == 2
    assert done.err.startswith("vlsearch: a batch of 2 with one caption between them has nothing to tell apart; give")


@pytest.mark.parametrize(
    ("texts", "dim", "said"),
    [
        (CAPTIONS, 24, 'of 24 dimensions, tiny of 16; take a model with "embed_dim": 24 (--arch FILE.json)'),
        (CAPTIONS[:15], 16, "5 of 20 texts"),
    ],
)
def test_vectors_that_do_not_fit(
    train: Train, data: Data, vectors: Callable[..., str], texts: Sequence[str], dim: int, said: str
) -> None:
    options = (*data(), *ARCH, "--held-out", "0", "--out", "mine")
    done = train("distill", *options, "--teacher", vectors(texts, 20, dim))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_lora_without_its_package(train: Train, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    done = train("negclip", *data(), *ARCH, "--lora", "4", "--held-out", "0", "--out", "mine")
    assert done.code == 1
    assert done.err == "vlsearch: LoRA needs a package more: pip install 'vlsearch[train]'\n"


def test_a_choice_between_texts_cannot_be_trained_on(train: Train, photos: Callable[..., Path], tmp_path: Path) -> None:
    photos(1)
    item: Mapping[str, Any] = {"image": "00000.jpg", "true": "a dog", "false": "a cat"}
    (tmp_path / "choice.jsonl").write_text(json.dumps(item) + "\n")
    done = train("negclip", "--dataset", "choice.jsonl", "--images", "photos", *ARCH, "--out", "mine")
    assert done.code == 2
    assert "is a choice between texts, not photos with captions; train on another" in done.err


@pytest.mark.usefixtures("captioned")
def test_captions_of_a_library(train: Train) -> None:
    done = train("negclip", *ARCH, "--held-out", "0", "--out", "mine")
    assert done.code == 0, done.err
    assert "| library | 5 | 5 | 0 |" in Path("mine/README.md").read_text()


def test_a_library_without_captions(
    train: Train, cli: Callable[..., Done], photos: Callable[..., Path], tmp_path: Path
) -> None:
    cli("ingest", photos(2), "--model", "colour")
    done = train("negclip", "--out", "mine")
    assert done.code == 2
    assert "has a caption to learn from; import some with `vlsearch captions`" in done.err
    assert not (tmp_path / "mine").exists()
