from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import AuditReport, Result, audit_retrieval
from vlsearch.audit.perturb import perturb
from vlsearch.errors import LibraryDamaged, ModelError, UsageError

Vectors = NDArray[np.float32]
DIM = 48
ANIMALS = ["dog", "cat", "cow", "horse", "fox", "hen", "owl", "pig", "goat", "duck"]
PLACES = ["beach", "road", "roof", "boat", "field"]
PHOTOS = [(animal, place) for animal in ANIMALS for place in PLACES]
TEXTS = [
    text.format(animal, place)
    for animal, place in PHOTOS
    for text in ("a {} near a {}", "one {} seems happy on the {}", "{}")
]
OWNER = np.repeat(np.arange(len(PHOTOS)), 3)


def word_vector(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(DIM)


def embed(texts: Sequence[str]) -> Vectors:
    """Reads the words and their places."""
    rows = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        rows.append(
            sum((word_vector(w) + 1.2 * word_vector(f"{w}{i}") for i, w in enumerate(words)), np.full(DIM, 1e-3))
        )
    x = np.array(rows)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def audit(*args: object, **options: object) -> AuditReport:
    return audit_retrieval(*args, **options)[0]  # type: ignore[arg-type]


XB = embed([f"a {animal} near a {place}" for animal, place in PHOTOS])


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return audit(embed, XB, TEXTS, OWNER, perturbations=["shuffle", "swap"], seeds=3, resamples=300)


def find(report: AuditReport, direction: str, perturbation: str, k: int) -> Result:
    (result,) = [r for r in report.results if (r.direction, r.perturbation, r.k) == (direction, perturbation, k)]
    return result


def test_the_report_has_every_combination_once(report: AuditReport) -> None:
    counts = Counter((r.direction, r.perturbation, r.k) for r in report.results)
    assert set(counts.values()) == {1}
    assert set(counts) == {
        (direction, name, k)
        for direction in ("text_to_image", "image_to_text")
        for name in ("shuffle", "swap", "identity", "sort")
        for k in (1, 5, 10)
    }
    assert (report.photos, report.photos_with_captions, report.captions, report.seeds) == (50, 50, 150, 3)


@pytest.mark.parametrize("perturbation", ["shuffle", "swap"])
def test_figures_equal_a_plain_computation(report: AuditReport, perturbation: str) -> None:
    def recalls(texts: Sequence[str], k: int) -> tuple[float, float]:
        scores = embed(texts).astype(np.float64) @ XB.T.astype(np.float64)
        # "dog" stands with five photos, and each of these is right.
        right = [{int(i) for text, i in zip(TEXTS, OWNER, strict=True) if text == own} for own in TEXTS]
        photos = []
        for row, own in zip(scores, right, strict=True):
            order = sorted(range(50), key=lambda i: (-row[i], i in own))
            photos.append(any(i in own for i in order[:k]))
        captions = []
        for i in range(50):
            order = sorted(range(150), key=lambda j: (-scores[j, i], i in right[j]))
            captions.append(any(i in right[j] for j in order[:k]))
        return float(np.mean(photos)), float(np.mean(captions))

    for k in (1, 5, 10):
        clean = recalls(TEXTS, k)
        seeds = [recalls([perturb(t, perturbation, seed).text for t in TEXTS], k) for seed in range(3)]
        for side, direction in enumerate(("text_to_image", "image_to_text")):
            result = find(report, direction, perturbation, k)
            drops = [clean[side] - seed[side] for seed in seeds]
            assert result.clean == pytest.approx(clean[side], abs=1e-12)
            assert result.perturbed == pytest.approx(np.mean([seed[side] for seed in seeds]), abs=1e-12)
            assert result.drop == pytest.approx(np.mean(drops), abs=1e-12)
            assert result.seed_spread == pytest.approx(np.std(drops, ddof=1), abs=1e-12)
            assert result.low - 1e-9 <= result.drop <= result.high + 1e-9
    assert find(report, "text_to_image", perturbation, 1).drop > 0.05


def test_relations_between_the_figures(report: AuditReport) -> None:
    for r in report.results:
        assert r.relative_drop == pytest.approx(r.drop / r.clean)
        assert r.order_sensitivity == pytest.approx(r.drop / (r.clean - r.chance))
        assert r.queries == (150 if r.direction == "text_to_image" else 50)
    # Two captions of three stand with one photo, the third with five; a photo's own third caption is there five times.
    missed = np.prod([(45 - i) / (50 - i) for i in range(5)])
    assert find(report, "text_to_image", "shuffle", 5).chance == pytest.approx((2 * 5 / 50 + 1 - missed) / 3)
    assert find(report, "image_to_text", "shuffle", 1).chance == pytest.approx(7 / 150)
    assert report.duplicates == 50


def test_p_is_corrected_over_perturbations(report: AuditReport) -> None:
    shuffle, swap = (find(report, "text_to_image", name, 1) for name in ("shuffle", "swap"))
    assert shuffle.p < 0.05
    assert shuffle.p_holm is not None
    assert swap.p_holm is not None
    assert min(shuffle.p_holm, swap.p_holm) == pytest.approx(min(1, 2 * min(shuffle.p, swap.p)))


def test_identity_changes_nothing(report: AuditReport) -> None:
    for direction in ("text_to_image", "image_to_text"):
        r = find(report, direction, "identity", 5)
        assert (r.drop, r.low, r.high, r.p, r.p_holm, r.seed_spread) == (0.0, 0.0, 0.0, 1.0, None, None)
        assert (r.unperturbable, r.effective_drop, r.ties) == (0, 0.0, r.ties_clean)


def test_unperturbable_captions_are_counted_and_left_out(report: AuditReport) -> None:
    """Every third caption is one word. It ties with nothing it could lose to, and it never changes."""
    r = find(report, "text_to_image", "shuffle", 1)
    assert r.unperturbable == 50
    assert r.effective_drop == pytest.approx(r.drop * 150 / 100)
    assert r.effective_clean is not None
    assert r.effective_clean > r.clean
    # Each photo has captions that can change: none is left out.
    assert (
        find(report, "image_to_text", "shuffle", 1).effective_drop == find(report, "image_to_text", "shuffle", 1).drop
    )


def test_photos_whose_captions_cannot_change_are_left_out_of_effective_figures() -> None:
    texts = ["dog", "a cat near a road", "cow"]
    report = audit(embed, embed(texts), texts, np.arange(3), perturbations=["shuffle"], seeds=2, ks=[1])
    r = find(report, "image_to_text", "shuffle", 1)
    assert (r.unperturbable, r.queries, r.effective_clean) == (2, 3, 1.0)
    assert r.effective_drop == pytest.approx(3 * r.drop)


def test_nothing_to_perturb_leaves_no_effective_figures() -> None:
    texts = ["dog", "cat"]
    report = audit(embed, embed(texts), texts, np.arange(2), perturbations=["shuffle"], seeds=2, ks=[1])
    r = find(report, "text_to_image", "shuffle", 1)
    assert (r.unperturbable, r.drop, r.effective_clean, r.effective_drop) == (2, 0.0, None, None)


def test_each_distinct_text_is_embedded_once() -> None:
    seen: Counter[str] = Counter()
    steps: list[tuple[int, int]] = []
    wanted = ("texts",)

    def counting(texts: Sequence[str]) -> Vectors:
        seen.update(texts)
        return embed(texts)

    audit(
        counting, XB, TEXTS, OWNER, perturbations=["shuffle"], seeds=4, resamples=10,
        progress=lambda what, done, total: steps.append((done, total)) if what in wanted else None,
    )  # fmt: skip
    assert set(seen.values()) == {1}
    assert set(TEXTS) < set(seen)
    assert steps[-1] == (len(seen), len(seen))
    assert steps == sorted(steps)


def test_the_order_of_captions_does_not_matter(report: AuditReport) -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    other = audit(
        embed, XB, [TEXTS[i] for i in order], OWNER[order], perturbations=["shuffle", "swap"], seeds=3, resamples=300
    )
    assert other == report


def test_photos_without_captions_stay_in_the_gallery() -> None:
    xb = np.concatenate([XB[:10], XB, XB[:10]])
    owner = OWNER + 10
    r = audit(embed, xb, TEXTS, owner, perturbations=["shuffle"], seeds=1, resamples=10)
    assert (r.photos, r.photos_with_captions) == (70, 50)
    plain = audit(embed, XB, TEXTS, OWNER, perturbations=["shuffle"], seeds=1, resamples=10)
    for direction, chance in (("text_to_image", (2 * 1 + 5) / 3 / 70), ("image_to_text", 7 / 150)):
        assert find(r, direction, "shuffle", 1).chance == pytest.approx(chance)
        assert find(r, direction, "shuffle", 1).seed_spread is None
    assert find(r, "text_to_image", "shuffle", 1).clean < find(plain, "text_to_image", "shuffle", 1).clean
    assert find(r, "text_to_image", "shuffle", 1).ties_clean >= 10
    assert find(r, "image_to_text", "shuffle", 1) == find(plain, "image_to_text", "shuffle", 1)


def test_k_beyond_the_gallery_finds_everything() -> None:
    r = find(
        audit(embed, XB, TEXTS, OWNER, perturbations=["shuffle"], seeds=1, ks=[1000, 1, 1000], resamples=10),
        "text_to_image",
        "shuffle",
        1000,
    )
    assert (r.clean, r.perturbed, r.chance, r.relative_drop, r.order_sensitivity) == (1.0, 1.0, 1.0, 0.0, None)


def test_nothing_found_has_no_relative_drop() -> None:
    texts = ["a dog near a road", "a cat near a boat", "a cow near a roof"]
    report = audit(embed, -embed(texts), texts, np.arange(3), perturbations=["swap"], seeds=1, ks=[1])
    r = find(report, "text_to_image", "swap", 1)
    assert (r.clean, r.relative_drop, r.order_sensitivity) == (0.0, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": [], "owner": np.empty(0, np.int64)}, "no captions; `vlsearch captions import FILE`"),
        ({"xb": XB[:1], "texts": ["a dog"], "owner": np.array([0])}, "only one; `vlsearch ingest PATH`"),
        ({"texts": ["a dog"], "owner": np.array([0])}, "only one photo has captions"),
        ({"perturbations": ["shuffel"]}, "no perturbation is called 'shuffel'; did you mean shuffle"),
        ({"ks": [0]}, "1 or more"),
        ({"ks": []}, "1 or more"),
        ({"seeds": 0}, "at least one seed"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(arguments: dict[str, object], message: str) -> None:
    call: dict[str, object] = {"xb": XB, "texts": TEXTS, "owner": OWNER, "perturbations": ["shuffle"], **arguments}
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        audit(embed, **call)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "message"),
    [(lambda texts: embed(texts)[:, :-1], "48 dimensions"), (lambda texts: embed(texts) * np.nan, "hold no numbers")],
)
def test_texts_vectors_that_cannot_be_scored(broken: Callable[[Sequence[str]], Vectors], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        audit(broken, XB, TEXTS, OWNER, perturbations=["shuffle"])


def test_photos_vectors_that_cannot_be_scored() -> None:
    with pytest.raises(LibraryDamaged, match="vlsearch verify"):
        audit(embed, np.where(XB[3, 3] == XB, np.nan, XB), TEXTS, OWNER, perturbations=["shuffle"])


def test_an_index_that_finds_nothing_loses_everything() -> None:
    """-1 is no photo, whichever number of a text and a photo it could be mistaken for."""
    texts, owner = ["a dog near a boat", "a fox near a road", "a hen near a roof"], np.array([2, 0, 1])
    xb = embed(texts)[np.argsort(owner)]
    options: dict[str, object] = {"perturbations": ["shuffle"], "seeds": 1, "ks": [1, 2], "resamples": 10}
    for nearest, through in (
        (lambda xq, k: np.full((len(xq), k), -1), 0.0),
        (lambda xq, k: np.argsort(-(xq @ xb.T), axis=1)[:, :k], 1.0),
    ):
        report = audit(embed, xb, texts, owner, nearest=nearest, **options)
        assert [(loss.exact, loss.through, loss.loss) for loss in report.index] == [(1.0, through, 1.0 - through)] * 2
