"""What a step trains on: which texts count against which photos, and what a teacher adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.train import tiny
from vlsearch.train.cached import backward
from vlsearch.train.loop import Batch
from vlsearch.train.losses import choosing, contrastive, likeness, regression
from vlsearch.train.negatives import HardTexts
from vlsearch.train.pairs import Pairs
from vlsearch.train.parallel import World
from vlsearch.train.parts import freeze, train_mode
from vlsearch.train.settings import Settings
from vlsearch.train.task import PairsTask, Teacher


class Negatives:
    """In place of HardTexts: the negative of each caption, by its number."""

    def __init__(self, texts: dict[int, str]) -> None:
        self.draw = lambda i, _: texts.get(i)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost such small towers more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**changes: Any) -> Settings:
    return Settings(**{"batch": 100, "area": 1.0, **changes})


def task_of(
    pairs: Pairs,
    chosen: Settings | None = None,
    *,
    model: Any = None,
    negatives: dict[int, str] | None = None,
    world: World | None = None,
    **more: Any,
) -> PairsTask:
    hard: Any = more.pop("hard", None) if negatives is None else Negatives(negatives)
    return PairsTask(
        tiny.clip() if model is None else model,
        tiny.tokenize,
        tiny.PREPROCESS,
        pairs,
        chosen or settings(),
        world or World(),
        hard=hard,
        **more,
    )


def photos_in(pairs: Pairs, pixels: Tensor) -> list[int]:
    """Which photo each row of a batch shows; nothing is cropped."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (tiny.PREPROCESS.mean, tiny.PREPROCESS.std))
    shown = (255 * (pixels * std + mean)).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [next(n for n, own in enumerate(pairs.pixels) if (own == photo).all()) for photo in shown]


def texts_in(texts: Sequence[str], tokens: Tensor) -> list[str]:
    """Which of `texts` each row of a batch holds; rows are cut to the longest."""
    known = {tuple(row[row != 0].tolist()): text for text, row in zip(texts, tiny.tokenize(texts), strict=True)}
    return [known[tuple(row[row != 0].tolist())] for row in tokens]


def rows(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `contrastive` is given."""
    calls: list[dict[str, Any]] = []

    def noted(xi: Tensor, xt: Tensor, scale: Tensor, **options: Any) -> Tensor:
        calls.append(options | {"xi": xi, "xt": xt, "scale": scale})
        return contrastive(xi, xt, scale, **options)

    monkeypatch.setattr("vlsearch.train.task.contrastive", noted)
    return calls


def loss_of(batch: Batch) -> Tensor:
    """Of embeddings that depend on nothing but their place."""
    return batch.loss(*(rows(len(inputs), 10 + n) for n, inputs in enumerate(batch.inputs)))


def masked(pairs: Pairs, batch: Batch, given: list[dict[str, Any]], texts: Sequence[str]) -> set[tuple[int, str]]:
    """Which of the batch's texts do not count against which photo, its own caption left out."""
    loss_of(batch)
    photos, columns = photos_in(pairs, batch.inputs[0]), texts_in(texts, batch.inputs[1])
    same = given[-1]["same"]
    assert same.shape == (len(photos), len(columns))
    return {(photos[i], columns[j]) for i, j in same.nonzero().tolist() if i != j}


def test_photos_of_one_caption_are_no_negatives_of_each_other(given: list[dict[str, Any]]) -> None:
    pairs = tiny.pairs([["a dog", "a red boat"], ["A red  boat ."], ["a cat"], ["a cat"]])
    seen = set()
    for step in range(7, 11):
        batch = task_of(pairs).batch(step)
        shown = texts_in(["a dog", "a red boat", "A red  boat .", "a cat"], batch.inputs[1])
        whole = {(2, "a cat"), (3, "a cat"), (0, "A red  boat .")}
        if "a red boat" in shown:
            whole.add((1, "a red boat"))
        assert masked(pairs, batch, given, [*pairs.texts]) == whole
        seen.add("a red boat" in shown)
    assert seen == {True, False}, "whichever caption of a photo was drawn"


def test_a_negative_that_is_true_of_another_photo_does_not_count_against_it(given: list[dict[str, Any]]) -> None:
    pairs = tiny.pairs([["a dog chasing a cat"], ["A cat chasing a dog ."], ["a boat"]])
    batch = task_of(pairs, negatives={0: "a cat chasing a dog", 2: "boat a"}).batch(0)
    texts = [*pairs.texts[::2], "A cat chasing a dog.", "a cat chasing a dog", "boat a"]
    assert masked(pairs, batch, given, texts) == {(1, "a cat chasing a dog")}
    assert len(given[-1]["negatives"]) == 2


def test_a_negative_that_the_tower_cannot_tell_is_left_out(given: list[dict[str, Any]]) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    pairs = tiny.pairs([[" ".join(words)], ["a dog near a cat"], ["a boat"]])
    late, early = " ".join([*words[:10], "twelve", "eleven"]), " ".join(["two", "one", *words[2:]])
    near = "a cat near a dog"
    for first, kept in ((late, {near}), (early, {early, near})):
        batch = task_of(pairs, negatives={0: first, 1: near}).batch(0)
        assert masked(pairs, batch, given, [*pairs.texts, early, near]) == set()
        assert set(texts_in([*pairs.texts, early, near], batch.inputs[1])) == {*pairs.texts} | kept
        assert len(given[-1]["negatives"]) == len(kept)
    loss_of(task_of(pairs, negatives={0: late}).batch(0))
    assert len(given[-1]["negatives"]) == 0


def test_a_caption_is_spaced_as_its_negative_is() -> None:
    """Else a tower would tell the negatives by their spaces."""
    pairs = tiny.pairs([["A dog ( and a cat ) ."], ["a boat"]])
    tokens = task_of(pairs, negatives={}).batch(0).inputs[1]
    assert set(texts_in(["A dog (and a cat).", "a boat"], tokens)) == {"A dog (and a cat).", "a boat"}


def test_neighbours_without_a_caption_are_negatives_of_captions_alone(given: list[dict[str, Any]]) -> None:
    pairs = tiny.pairs([["a dog"], ["a cat"], ["a boat"]], alone=2)
    neighbours = np.array([[4], [3], [-1], [0], [0]])
    batch = task_of(pairs, neighbours=neighbours).batch(0)
    images = rows(5, 1)
    batch.loss(images, rows(3, 2))
    shown = photos_in(pairs, batch.inputs[0])
    assert sorted(shown[:3]) == [0, 1, 2]
    assert shown[3:] == [3, 4]
    assert [pairs.texts[n] for n in shown[:3]] == texts_in(pairs.texts, batch.inputs[1])
    torch.testing.assert_close(given[-1]["xi"], images[:3], rtol=0, atol=0)
    torch.testing.assert_close(given[-1]["photos"], images[3:], rtol=0, atol=0)
    assert given[-1]["same"].shape == (3, 3)


def test_half_of_the_batch_are_neighbours_with_captions_of_their_own() -> None:
    pairs = tiny.pairs()
    count = len(pairs.photos)
    neighbours = (np.arange(count)[:, None] + [1, 2]) % count
    task = task_of(pairs, settings(batch=4), neighbours=neighbours)
    anchors: list[int] = []
    for step in range(count // 2):
        shown = photos_in(pairs, task.batch(step).inputs[0])
        anchors += shown[:2]
        assert len(set(shown)) == len(shown) <= 4
        assert set(shown[2:]) <= {int(n) for anchor in shown[:2] for n in neighbours[anchor]}
    assert sorted(anchors) == list(range(count)), "each photo once in an epoch"


def test_a_frozen_tower_is_run_once_and_gives_the_gradients_that_it_gave() -> None:
    pairs = tiny.pairs()
    gradients = []
    for chosen in (settings(batch=9), settings(batch=9, freeze=("image",), micro=4, area=0.5, flip=True)):
        model = tiny.clip()
        freeze(model, chosen.freeze)
        task = task_of(pairs, chosen, model=model, negatives={n: f"not {pairs.texts[n]}" for n in range(20)})
        train_mode(model)
        batch = task.batch(3)
        assert len(task.encoders) == len(batch.inputs) == 2 - len(chosen.freeze)
        backward(model, list(zip(task.encoders, batch.inputs, strict=True)), batch.loss, chosen.micro, World())
        by_name = {name: p.grad for name, p in model.named_parameters()}
        gradients.append({name: grad for name, grad in by_name.items() if not name.startswith("visual.")})
        assert all((grad is None) == bool(chosen.freeze) for name, grad in by_name.items() if "visual." in name)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
    assert all(grad.abs().max() > 1e-4 for grad in gradients[0].values())


def everything(world: World | None = None) -> PairsTask:
    pairs = tiny.pairs(alone=4)
    count = len(pairs.photos)
    return task_of(
        pairs,
        settings(batch=9, area=0.5, flip=True, colour=0.5, sharpness=True, seed=-3),
        hard=HardTexts(pairs.texts, ["shuffle"], pairs.owner),
        neighbours=np.random.default_rng(0).integers(-1, count, (count, 3)),
        weights=np.random.default_rng(1).random(pairs.captioned),
        world=world,
    )


def test_a_batch_is_that_of_its_step() -> None:
    task, steps = everything(), [0, 1, 2, 30]
    first = {step: task.batch(step) for step in steps}
    for other, order in ((task, steps[::-1]), (everything(), [30, 1, 0, 2])):
        for step in order:
            again = other.batch(step)
            torch.testing.assert_close(list(again.inputs), list(first[step].inputs), rtol=0, atol=0)
            assert loss_of(again) == loss_of(first[step])
    texts = {tuple(batch.inputs[1].flatten().tolist()) for batch in first.values()}
    assert len(texts) == len(steps)


def test_shares_make_up_the_batch() -> None:
    whole = everything().batch(1)
    halves = [everything(World(rank, 2)).batch(1) for rank in range(2)]
    for n, inputs in enumerate(whole.inputs):
        parts = [half.inputs[n] for half in halves]
        assert all(len(part) < len(inputs) for part in parts)
        torch.testing.assert_close(torch.cat(parts), inputs, rtol=0, atol=0)


def test_photos_grow_during_the_run() -> None:
    task = task_of(tiny.pairs(), settings(batch=4, steps=10, sizes=((0.5, 16), (0.8, 24))))
    assert [task.batch(step).inputs[0].shape[-1] for step in (0, 4, 5, 7, 8)] == [16, 16, 24, 24, 32]


def test_the_scale_of_logits_stays_below_a_hundred(given: list[dict[str, Any]]) -> None:
    model = tiny.clip()
    task = task_of(tiny.pairs(), settings(batch=4), model=model)
    for exponent, scale in ((3.0, np.exp(3.0)), (6.0, 100.0)):
        model.logit_scale.data.fill_(exponent)
        loss_of(task.batch(0))
        assert given[-1]["scale"].item() == pytest.approx(scale)


WEIGHTS = {"contrast": 0.3, "teach_photos": 4.0, "teach_texts": 2.0, "teach_words": 0.7, "teach_likeness": 0.5}


@pytest.mark.parametrize(
    "changes", [{}, {"contrast": 0.0}, {"contrast": 0.0, "teach_texts": 0.0}, {"freeze": ("image",)}]
)
def test_a_teacher_adds_its_losses(changes: dict[str, Any]) -> None:
    pairs = tiny.pairs([["a dog"], ["a cat"], ["two boats"], ["a boat", "a red boat"]])
    photos, texts = rows(4, 1), rows(5, 2)
    texts[2] = F.normalize(texts[1] + 0.05 * texts[2], dim=0)  # the teacher takes it for what photo 1 shows
    model, chosen = tiny.clip(), settings(**(WEIGHTS | changes))
    task = task_of(pairs, chosen, model=model, teacher=Teacher(photos, texts))
    batch = task.batch(0)
    order = task_of(pairs).batch(0)
    shown = photos_in(pairs, order.inputs[0])
    captions = [pairs.texts.index(text) for text in texts_in(pairs.texts, order.inputs[1])]
    p, q, xt = photos[shown], texts[captions], rows(4, 4)
    same = torch.tensor([[{one, other} == {1, 2} for other in shown] for one in shown])
    if chosen.freeze:
        with torch.no_grad():
            xi = F.normalize(tiny.clip().eval().encode_image(order.inputs[0]), dim=1)
        value, wanted = batch.loss(xt), torch.zeros(())
    else:
        xi = rows(4, 3)
        value = batch.loss(*(xi, xt)[: len(batch.inputs)])
        wanted = 4 * regression(xi, p) + 0.7 * choosing(xi, q, 30, same) + 0.5 * likeness(xi, p, p, 20)
    wanted = wanted + chosen.teach_texts * regression(xt, q)
    wanted = wanted + chosen.contrast * contrastive(xi, xt, model.logit_scale.exp(), same=same)
    torch.testing.assert_close(value, wanted)
    assert len(batch.inputs) == len(task.encoders) == (1 if chosen.freeze or chosen.teach_texts == 0 else 2)
