from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ColourEncoder
from vlsearch.errors import UsageError
from vlsearch.search.prompts import NAMED, Prompts, embed_prompts, load_descriptions, load_templates, prompts_from


class Counting:
    """Embeds texts, and knows which it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        return ColourEncoder().embed_texts(texts)


def test_a_list_of_texts_becomes_the_average_of_their_unit_vectors() -> None:
    embed = Counting()
    lists = [["a", "b", "c"], ["b"], ["c", "c", "a"]]
    made = embed_prompts(embed, lists)
    a, b, c = (ColourEncoder().embed_texts([text])[0].astype(np.float64) for text in "abc")
    for row, total in zip(made, [a + b + c, b, c + c + a], strict=True):
        np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=1e-6)
    assert (made.shape, made.dtype) == ((3, 48), np.float32)
    assert embed.calls == [["a", "b", "c"]], "one call, each text once"


def test_single_texts_are_left_as_they_are() -> None:
    texts = ["dog", "cat", "dog"]
    embed = Counting()
    made = embed_prompts(embed, [[text] for text in texts])
    assert made.tobytes() == ColourEncoder().embed_texts(texts).tobytes()
    assert embed.calls == [["dog", "cat"]]


def test_lists_that_come_to_nothing() -> None:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = {"up": 1.0, "down": -1.0, "nan": np.nan}
        return np.array([[vectors.get(text, 1.0), 0.0] for text in texts], np.float32)

    assert embed_prompts(embed, [["up", "on"]]).tolist() == [[1.0, 0.0]]
    for lists in ([["a", "b"], ["up", "down"]], [["a"], ["up", "nan"]]):
        with pytest.raises(UsageError, match="prompts that begin with 'up'"):
            embed_prompts(embed, lists)


def test_templates_hold_the_text_as_it_is() -> None:
    prompts = Prompts(("a photo of {}", "{}, up close"))
    assert prompts.expand("a {0} {} dog") == ["a photo of a {0} {} dog", "a {0} {} dog, up close"]
    assert Prompts().expand("dog") == ["dog"]
    assert hash(prompts) == hash(Prompts(("a photo of {}", "{}, up close")))


def test_a_described_class_is_asked_by_its_sentences() -> None:
    prompts = Prompts(("a photo of {}",), {"tench": ["A tench is a fish.", "It is green."]})
    assert prompts.expand("tench") == ["A tench is a fish.", "It is green."]
    assert prompts.expand("a tench") == ["a photo of a tench"]


@pytest.mark.parametrize("templates", [(), ("a photo",), ("{} and {}",), ("{}", "")])
def test_templates_that_are_none(templates: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"\{\}"):
        Prompts(templates)


@pytest.mark.parametrize("sentences", [[], "a sentence"])
def test_descriptions_that_are_none(sentences: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="'tench' needs a list of sentences"):
        Prompts(descriptions={"tench": sentences})


def test_named_sets_are_sets_of_templates() -> None:
    for templates in NAMED.values():
        assert Prompts(templates).templates == templates
    assert len(NAMED["clip7"]) == 7


def test_clip7_is_what_its_authors_published() -> None:
    spec = find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    theirs = runpy.run_path(str(Path(spec.origin).with_name("zero_shot_metadata.py")))["SIMPLE_IMAGENET_TEMPLATES"]
    assert [template("{}") for template in theirs] == list(NAMED["clip7"])


def test_prompts_by_name_or_file(tmp_path: Path) -> None:
    assert prompts_from("photo") == Prompts(("a photo of {}",))
    templates, descriptions = tmp_path / "t.txt", tmp_path / "d.JSON"
    templates.write_text("\ufeffa photo of {}\r\n\r\n  art of {} \n", encoding="utf-8")
    assert prompts_from(str(templates)) == Prompts(("a photo of {}", "art of {}"))
    descriptions.write_text(json.dumps({"tench": [" A fish. ", "", "Green."]}))
    assert prompts_from(str(descriptions)) == Prompts(descriptions={"tench": ["A fish.", "Green."]})


def test_errors_of_template_files(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_text("a photo of {}\n\na photo of a dog\n")
    with pytest.raises(UsageError, match=r"t.txt', line 3: the template 'a photo of a dog' must hold \{\} once"):
        load_templates(file)
    file.write_text("\n \n")
    with pytest.raises(UsageError, match="holds no template"):
        load_templates(file)
    file.write_bytes(b"caf\xe9 {}\n")
    with pytest.raises(UsageError, match="no UTF-8"):
        load_templates(file)


@pytest.mark.parametrize("name", ["fotos", "clip8", "folder", "a\0b"])
def test_neither_a_set_nor_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="--prompts takes a file or one of plain, photo, clip7") as raised:
        prompts_from(name if "\0" in name else str(tmp_path / name))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no descriptions"),
        ("[]", "holds no descriptions"),
        ("{}", "holds no descriptions"),
        ('["a"]', "holds no descriptions"),
        ('{"a": ["b"]', "holds no descriptions"),
        ("[" * 100_000, "holds no descriptions"),
        ('{"dog": "an animal"}', "the descriptions of 'dog' are no list"),
        ('{"dog": [1]}', "the descriptions of 'dog' are no list"),
        ('{"dog": null}', "the descriptions of 'dog' are no list"),
        ('{"cat": ["x"], "dog": []}', "'dog' has no description"),
        ('{"dog": [" "]}', "'dog' has no description"),
    ],
)
def test_errors_of_description_files(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        load_descriptions(file)
    assert says in str(raised.value)
    assert "d.json" in str(raised.value)
    assert "\n" not in str(raised.value)
