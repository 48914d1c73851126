"""The card says what happened before how, reads as a table, and is a card to a hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.test_evaluation import change
from vlsearch.train.card import Data, card
from vlsearch.train.settings import Settings

CHANGES = (
    change("retrieval", "text → photo Recall@10", -0.04, 0.02),
    change("order", "order choice", 0.3, 0.05, chance=0.2),
    change("composition", "SugarCrepe", 0.02, 0.05, n=61, chance=0.5),
)
DATA = Data("holiday|photos", 9_500, 47_500, 500, unreadable=3, without_negatives=1_204)


def written(**options: object) -> str:
    given = {"base": "ViT-B-32/openai", **options}
    return card("my-model", "negclip", [DATA], Settings(steps=2000).to_dict(), CHANGES, **given)  # type: ignore[arg-type]


def test_the_loss_comes_before_everything_else() -> None:
    _, _, body = written().split("---\n", 2)
    title, said, method = body.strip().split("\n\n")[:3]
    assert title == "# my-model"
    assert said.startswith("**It finds less than before: text → photo Recall@10 fell by 4.0 points")
    assert "order choice rose" in said
    assert "NegCLIP" in method
    assert method.endswith("It began with the weights of ViT-B-32/openai.")


def test_figures_stand_with_their_intervals() -> None:
    text = written()
    assert "| text → photo Recall@10 | 50.0 (45.0 to 55.0) | 46.0 (45.0 to 55.0) | −4.0 (−6.0 to −2.0) | 5.0 |" in text
    assert "on 200 held-out photos and 61 photos of SugarCrepe not trained on" in text
    assert "Order choice: how often" in text
    assert "Order sensitivity" not in text


def test_data_and_what_was_left_out() -> None:
    text = written(left_out=["swap: it changes no caption"])
    assert "| holiday\\|photos | 9,500 | 47,500 | 500 |" in text
    assert (
        "3 photos could not be read and were left out. No hard negative could be made of 1,204 of 47,500 captions."
        in text
    )
    assert "- swap: it changes no caption" in text
    assert "licence |" not in text
    with_licence = card("a", "distill", [Data("x", 1, 1, 1, licence="CC BY")], {}, (), teacher="big/model")
    assert "| CC BY |" in with_licence
    assert "Its teacher was big/model; none of its weights is in here." in with_licence


def test_settings_that_are_off_are_not_told() -> None:
    text = written()
    assert "| steps | 2,000 |" in text
    assert "| weight decay | 0.1 |" in text
    assert "| lora |" not in text
    assert "| flip |" not in text
    assert "| seed | 0 |" in text


def test_the_head_is_what_hubs_read() -> None:
    from huggingface_hub import ModelCard

    head = ModelCard(written(base="hf-hub:org/base")).data
    assert (head.library_name, head.license, head.base_model) == ("open_clip", "unknown", "org/base")
    assert head.tags == ["clip", "negclip", "vlsearch"]
    assert ModelCard(written()).data.base_model is None


def test_a_model_from_nothing_without_held_out_photos() -> None:
    text = card("a\nb", "contrastive", [DATA], {}, ())
    assert "# a\\\\nb" in text
    assert "It began with random weights." in text
    assert "Before and after" not in text
    assert "look at what the sources of the photos" in text


def test_both_ways_to_load_it_are_told() -> None:
    text = written()
    assert 'open_clip.create_model_from_pretrained("local-dir:FOLDER")' in text
    assert "vlsearch ingest PHOTOS --model local-dir:FOLDER" in text


@pytest.mark.parametrize("method", ["negclip", "contrastive", "distill"])
def test_no_line_of_prose_names_a_place_on_this_machine(method: str) -> None:
    assert str(Path.cwd()) not in card("a", method, [DATA], Settings().to_dict(), CHANGES)
