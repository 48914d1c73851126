"""Figures are the audit's own, differences are paired, and the verdict says what was lost before what was gained."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vlsearch.audit import compare as audit_compare
from vlsearch.audit.datasets import Captioned
from vlsearch.audit.report import AuditReport, ChoiceReport
from vlsearch.audit.report.comparison import DropDifference
from vlsearch.audit.tasks.retrieval import audit_retrieval
from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.train.change import Change, Figure
from vlsearch.train.evaluation import KS, HeldOut, compare, measure, sugarcrepe, verdict

COLOURS = {
    "red": (250, 10, 10),
    "green": (10, 250, 10),
    "blue": (10, 10, 250),
    "yellow": (250, 250, 10),
    "white": (250, 250, 250),
}
SENTENCE = "a {} ball lies beside a {} box"


class Halves:
    """A photo is the colours of its halves, a text the colours that it names; where `hears`, from left to right, and
    words that are not where SENTENCE has them take it away from all photos. `blind`: the share of noise in photos."""

    dim, context_length, logit_scale = 7, 77, 1.0

    def __init__(self, hears: bool, blind: float = 0.0) -> None:
        self.name = self.fingerprint = f"halves-{hears}-{blind}"
        self.preprocess = Preprocess((16, 16), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode="squash")
        self._hears, self._blind = hears, blind

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        halves = pixels.reshape(-1, 16, 2, 8, 3).mean(axis=(1, 3)).reshape(-1, 6)
        noise = np.random.default_rng(0).normal(size=(256, 6))[halves.sum(axis=1).astype(int) % 256]
        seen = (1 - self._blind) * (halves / 128 - 1) + self._blind * noise
        return unit(np.concatenate([seen, np.zeros((len(seen), 1))], axis=1))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            named = [np.array(COLOURS[word]) for word in text.split() if word in COLOURS] or [np.zeros(3)]
            sides = [named[0], named[-1]] if self._hears else [sum(named) / len(named)] * 2
            moved = sum(a != b for a, b in zip(text.split(), SENTENCE.split(), strict=False) if b != "{}")
            rows.append(np.append(np.concatenate(sides) / 128 - 1, moved if self._hears else 0))
        return unit(np.stack(rows))


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def png(left: str, right: str) -> bytes:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = COLOURS[left], COLOURS[right]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def material(caption: str = SENTENCE, n: int | None = None, **options: Any) -> HeldOut:
    pairs = sorted(permutations(COLOURS, 2))[:n]
    photos = tuple(f"{left}-{right}.png" for left, right in pairs)
    captioned = Captioned("halves", photos, tuple(caption.format(*pair) for pair in pairs), np.arange(len(pairs)))
    return HeldOut(captioned, lambda name: png(*name.removesuffix(".png").split("-")), **options)


def change(kind: Any, name: str, difference: float, half: float, n: int = 200, chance: float = 0.05) -> Change:
    before = Figure(0.5, 0.45, 0.55)
    after = Figure(0.5 + difference, 0.45, 0.55)
    return Change(kind, name, before, after, difference, difference - half, difference + half, n, chance)


def test_figures_are_those_of_the_audit() -> None:
    measured = measure(Halves(hears=True), material())
    figures = {figure["name"]: figure for figure in measured.to_dict()["figures"]}
    report = next(r for r in measured.reports if isinstance(r, AuditReport))
    for r in report.results:
        if r.perturbation == "identity":
            way = {"text_to_image": "text → photo", "image_to_text": "photo → text"}[r.direction]
            assert figures[f"{way} Recall@{r.k}"]["value"] == pytest.approx(r.clean)
            assert figures[f"{way} Recall@{r.k}"]["chance"] == r.chance
    told = [r for r in report.results if (r.direction, r.k) == ("text_to_image", 5) and not r.control]
    assert sorted(r.perturbation for r in told) == ["shuffle", "swap"]
    for r in told:
        drop = figures[f"drop of Recall@5 under {r.perturbation}"]
        assert (drop["value"], drop["low"], drop["high"]) == pytest.approx((r.drop, r.low, r.high))
        assert r.drop > 0.1
        assert figures[f"order sensitivity under {r.perturbation}"]["value"] == pytest.approx(r.order_sensitivity)
    choice = next(r for r in measured.reports if isinstance(r, ChoiceReport))
    assert figures["order choice"]["value"] == pytest.approx(choice.results[-1].value)
    assert measured.left_out == ()
    assert json.loads(json.dumps(measured.to_dict()))["model"] == "halves-True-0.0"


def test_differences_are_those_of_a_comparison_of_audits() -> None:
    given = material()
    before, after = Halves(hears=False), Halves(hears=True, blind=0.4)
    changes = {c.name: c for c in compare(measure(before, given), measure(after, given))}
    tables = []
    for encoder in (after, before):
        names = given.captioned.photos
        pixels = np.stack([np.array(Image.open(io.BytesIO(given.read(name)))) for name in names])
        _, rows = audit_retrieval(
            encoder.embed_texts,
            encoder.embed_images(pixels),
            given.captioned.texts,
            given.captioned.owner,
            perturbations=given.perturbations,
            seeds=given.seeds,
            photos=names,
        )
        tables.append(rows)
    comparison = audit_compare.compare(tables[0], tables[1], "retrieval", KS, ("after", "before"))
    checked = 0
    for r in comparison.results:
        assert isinstance(r, DropDifference)
        if r.direction == "text_to_image" and (r.perturbation, r.k) == ("swap", 5):
            for name, d in (("drop of Recall@5 under swap", r.drop), ("text → photo Recall@5", r.clean)):
                c = changes[name]
                found = c.after.value, c.before.value, c.difference, c.low, c.high
                assert found == pytest.approx((d.a, d.b, d.difference, d.low, d.high), abs=1e-12)
                assert d.low < d.difference < d.high
                checked += 1
    assert checked == 2


def test_a_model_that_learned_the_order() -> None:
    before, after = (measure(Halves(hears=hears), material()) for hears in (False, True))
    changes = compare(before, after)
    told = {c.name: c for c in changes}
    assert told["order choice"].before.value == 0
    assert told["order choice"].low > 0.5
    assert told["order sensitivity under swap"].low > told["order sensitivity under swap"].before.high
    assert verdict(changes).startswith("It tells the order of words better: order choice rose by ")
    assert told["order choice"].to_dict()["before"]["value"] == 0


def test_what_was_lost_is_said_first() -> None:
    before, after = measure(Halves(hears=False), material()), measure(Halves(hears=True, blind=0.9), material())
    said = verdict(compare(before, after))
    assert said.startswith("It finds less than before: ")
    assert "It tells the order of words better" in said


@pytest.mark.parametrize("name", ["text → photo Recall@1", "photo → text Recall@10"])
def test_a_loss_of_any_depth_and_direction_counts(name: str) -> None:
    changes = [
        change("order", "order choice", 0.3, 0.05),
        change("retrieval", "text → photo Recall@5", 0.01, 0.05),
        change("retrieval", name, -0.06, 0.02),
    ]
    assert verdict(changes) == (
        f"It finds less than before: {name} fell by 6.0 points (4.0 to 8.0 at 95 %), from 50.0 to 44.0 %. It tells the "
        "order of words better: order choice rose by 30.0 points (25.0 to 35.0 at 95 %), from 50.0 to 80.0 %."
    )


def test_what_chance_would_do_is_no_change() -> None:
    changes = [
        change("retrieval", "text → photo Recall@1", 0.05, 0.01),
        change("retrieval", "text → photo Recall@10", -0.02, 0.02),
        change("retrieval", "photo → text Recall@10", 0.05, 0.01),
        change("order", "drop of Recall@10 under swap", 0.3, 0.05),
        change("order", "order choice", 0.01, 0.05),
    ]
    assert verdict(changes) == (
        "Order choice changed by 1.0 points (−4.0 to 6.0 at 95 %), no more than chance would. Text → photo Recall@10 "
        "changed by −2.0 points (−4.0 to 0.0 at 95 %), no more than chance would."
    )


def test_the_depth_that_is_told_leaves_chance_room() -> None:
    changes = [
        change("retrieval", "text → photo Recall@1", 0.05, 0.01),
        change("retrieval", "text → photo Recall@10", 0.05, 0.01, chance=0.6),
    ]
    assert verdict(changes).startswith("It finds more than before: text → photo Recall@1 rose")
    assert verdict([]) == ""


def test_few_photos_are_told() -> None:
    few = [change("retrieval", "text → photo Recall@1", 0.05, 0.01, n=19)]
    assert "Only 19 photos were held out" in verdict(few)
    assert "held out" not in verdict([replace(few[0], n=20)])
    split = change("composition", "SugarCrepe swap_obj", 0.05, 0.01, n=3)
    assert "held out" not in verdict([replace(few[0], n=20), split])


def test_nothing_found_beyond_chance_has_no_sensitivity() -> None:
    blind = measure(Halves(hears=True, blind=1.0), material())
    seeing = measure(Halves(hears=True), material())
    told = {figure["name"]: figure["value"] for figure in blind.to_dict()["figures"]}
    assert told["order sensitivity under swap"] is None
    assert "order sensitivity under swap" not in {c.name for c in compare(blind, seeing)}


def test_models_measured_on_other_photos_are_not_compared() -> None:
    encoder = Halves(hears=True)
    with pytest.raises(UsageError, match="other photos before than after"):
        compare(measure(encoder, material()), measure(encoder, material(n=15)))


def test_captions_that_nothing_changes_are_left_out_with_a_word() -> None:
    measured = measure(Halves(hears=True), material("{}"))
    assert sorted(line.split(":")[0] for line in measured.left_out) == ["order choice", "shuffle", "swap"]
    assert all("changes no caption" in line or "change no caption" in line for line in measured.left_out)
    assert {m.kind for m in measured.measures} == {"retrieval"}


def test_parts_of_speech_are_for_english() -> None:
    german = material("ein Würfel liegt {} neben {} einem Kästchen mit Sand")
    measured = measure(Halves(hears=True), german)
    assert measured.left_out[0] == "swap: needs parts of speech, and many captions do not look English"
    assert "drop of Recall@5 under shuffle" in {m.name for m in measured.measures}


def test_one_held_out_photo_is_too_few() -> None:
    with pytest.raises(UsageError, match="only 1 captioned photo of halves would be held out"):
        measure(Halves(hears=True), material(n=1))


def test_a_photo_that_cannot_be_read_is_named() -> None:
    broken = replace(material(), read=lambda name: b"" if name == "blue-red.png" else png("red", "blue"))
    with pytest.raises(UnreadableFile, match=r"blue-red\.png"):
        measure(Halves(hears=True), broken)


def test_classes_of_a_labelled_folder(tmp_path: Path) -> None:
    for label in ("red", "bright_white"):
        (tmp_path / label).mkdir()
        for n in range(3):
            colour = label.split("_")[-1]
            (tmp_path / label / f"{n}.png").write_bytes(png(colour, colour))
    (tmp_path / "red" / "wrong.png").write_bytes(png("white", "white"))
    (tmp_path / "stray.png").write_bytes(png("red", "red"))
    measured = measure(Halves(hears=True), material(labelled=tmp_path))
    found = measured.measures[-1]
    assert (found.kind, found.name, found.chance) == ("classes", "zero-shot top-1", 0.5)
    assert (found.amount.sum(), found.base.sum()) == (6, 7)


def test_one_class_is_no_choice(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "0.png").write_bytes(png("red", "red"))
    with pytest.raises(UsageError, match="holds 1 class"):
        measure(Halves(hears=True), material(labelled=tmp_path))


def test_sugarcrepe_of_which_photos_are_there(tmp_path: Path) -> None:
    items = [
        ("a.png", "a red ball beside a blue one", "a blue ball beside a red one", "swap_att"),
        ("a.png", "a red ball", "a green ball", "replace_att"),
        ("gone.png", "a dog", "a cat", "replace_obj"),
    ]
    keys = ("filename", "caption", "negative_caption", "type")
    (tmp_path / "some.json").write_text(json.dumps([dict(zip(keys, item, strict=True)) for item in items]))
    (tmp_path / "a.png").write_bytes(png("red", "blue"))
    measured = measure(Halves(hears=True), material(sugarcrepe=sugarcrepe(tmp_path / "some.json", tmp_path)))
    found = {m.name: m.amount.sum() / m.base.sum() for m in measured.measures if m.kind == "composition"}
    assert found == {"SugarCrepe": 1.0, "SugarCrepe replace_att": 1.0, "SugarCrepe swap_att": 1.0}
    assert measured.reports[-1].part.startswith("2 of 3 items")
    assert sugarcrepe(tmp_path, tmp_path).dataset == "sugarcrepe"
