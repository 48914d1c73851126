from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ColourEncoder
from vlsearch.catalog import queries
from vlsearch.errors import FingerprintMismatch, UnreadableFile, UsageError
from vlsearch.ingest.pipeline import embed_captions
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library, open_library
from vlsearch.search.engine import Engine, Hit
from vlsearch.search.filters import Filters
from vlsearch.search.query import Term

Photos = Callable[..., Path]
Take = Callable[..., Summary]


@pytest.fixture
def engine(library: Library, encoder: ColourEncoder, take: Take, photos: Photos) -> Engine:
    """Over 12 photos."""
    take(photos(12))
    return Engine(library, encoder)


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def caption(library: Library, encoder: ColourEncoder, texts: dict[int, list[str]]) -> None:
    with library.transaction() as c:
        queries.add_captions(c, [(i, text, None) for i, lines in texts.items() for text in lines], "test")
        lacking = queries.captions_without_vector(c, library.model().id)
    embed_captions(library, encoder, library.model(), lacking, lambda *_: None)
    library.save_indexes()


def test_answers_equal_those_of_plain_numpy(engine: Engine, library: Library, encoder: ColourEncoder) -> None:
    ids, xb = library.vectors(engine.model)
    scores = xb @ encoder.embed_texts(["dog"])[0]
    order = np.argsort(-scores)
    hits = engine.search("dog", 12)
    assert [hit.id for hit in hits] == ids[order].tolist()
    assert np.allclose([hit.score for hit in hits], scores[order], atol=1e-3)
    assert [hit.rank for hit in hits] == list(range(1, 13))


@pytest.mark.parametrize("k", [1, 5, 12, 13, 10**9])
def test_k_answers_where_there_are_k(engine: Engine, k: int) -> None:
    assert engine.search("dog", k) == engine.search("dog", 12)[:k]
    assert len(engine.search("dog", k)) == min(k, 12)


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_one(engine: Engine, k: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        engine.search("dog", k)


def test_missing_photos_make_room_for_the_next(engine: Engine, library: Library, take: Take) -> None:
    before = engine.search("dog", 12)
    gone = [Path(hit.path) for hit in before[:4]]
    for file in gone:
        file.unlink()
    take(gone[0].parent)
    for k in (1, 5, 8, 12):
        hits = engine.search("dog", k)
        assert [hit.path for hit in hits] == [hit.path for hit in before[4:]][:k]
        assert [hit.rank for hit in hits] == list(range(1, min(k, 8) + 1))
    with open_library(library.path) as reader:
        assert len(Engine(reader, engine.texts).search("dog", 8)) == 8


def test_a_photo_in_two_places_is_one_answer_at_a_place_where_it_is(engine: Engine, take: Take) -> None:
    (best,) = engine.search("dog", 1)
    first = Path(best.path)
    copy = first.with_name("zz copy.jpg")
    copy.write_bytes(first.read_bytes())
    take(first.parent)
    assert engine.search("dog", 1)[0].path == str(first)
    assert len(engine.search("dog", 20)) == 12
    first.unlink()
    take(first.parent)
    assert engine.search("dog", 1)[0].path == str(copy)


def test_a_changed_photo_is_found_as_it_is_now(engine: Engine, take: Take, photos: Photos) -> None:
    folder = photos(12)
    Image.fromarray(np.full((32, 32, 3), (255, 0, 0), np.uint8)).save(folder / "00003.jpg")
    query = folder.parent / "query.png"
    Image.fromarray(np.full((16, 16, 3), (250, 5, 0), np.uint8)).save(query)
    take(folder)
    fresh = Engine(engine.library, engine.texts)
    assert names(fresh.search([Term(image=str(query))], 1)) == ["00003.jpg"]
    assert names(fresh.search("dog", 20)).count("00003.jpg") == 1
    assert len(fresh.search("dog", 20)) == 12


def test_equal_scores_keep_their_order(library: Library, encoder: ColourEncoder, take: Take, tmp_path: Path) -> None:
    """The same picture in different bytes: equal vectors, different photos."""
    (tmp_path / "p").mkdir()
    for n in range(15):
        picture = Image.new("RGB", (32, 32), (200, 30, 30))
        picture.save(tmp_path / "p" / f"{n:02d}.png", pnginfo=note(n))
    take(tmp_path / "p")
    engine = Engine(library, encoder)
    for k in (1, 4, 15):
        assert names(engine.search("dog", k)) == [f"{n:02d}.png" for n in range(k)]
    assert len({hit.score for hit in engine.search("dog", 15)}) == 1


def note(n: int) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("n", str(n))
    return info


def test_min_score(engine: Engine) -> None:
    hits = engine.search("dog", 12)
    assert engine.search("dog", 12, min_score=hits[4].score) == hits[:5]
    assert engine.search("dog", 3, min_score=hits[4].score) == hits[:3]
    assert engine.search("dog", 12, min_score=1.1) == []
    assert engine.search("dog", 12, min_score=-1) == hits


def test_a_min_score_that_is_no_number(engine: Engine) -> None:
    with pytest.raises(UsageError, match="must be a number"):
        engine.search("dog", min_score=float("nan"))


def test_a_photo_finds_itself(engine: Engine, photos: Photos) -> None:
    for file in sorted(photos(12).iterdir()):
        best = engine.search([Term(image=str(file))], 3)
        assert best[0].path == str(file)
        assert best[0].score == pytest.approx(1, abs=2e-3)
        assert best[1].score < 0.99


def test_to_captions(engine: Engine, library: Library, encoder: ColourEncoder) -> None:
    caption(library, encoder, {1: ["a dog", "a cat"], 2: ["a dog"], 5: ["a house"]})
    hits = engine.search("a dog", 10, to="captions")
    assert [(hit.id, hit.caption) for hit in hits[:2]] == [(1, "a dog"), (2, "a dog")]
    assert [hit.score for hit in hits[:2]] == pytest.approx([1, 1], abs=2e-3)
    assert len(hits) == 4
    assert hits[0].captions == ("a dog", "a cat")
    assert len(engine.search([Term(image=str(Path(hits[0].path)))], 10, to="captions")) == 4
    assert engine.search("a dog", 12)[0].caption is None
    assert {hit.id: hit.captions for hit in engine.search("a dog", 12)}[1] == ("a dog", "a cat")


def test_captions_of_missing_photos_are_hidden(
    engine: Engine, library: Library, encoder: ColourEncoder, take: Take, photos: Photos
) -> None:
    caption(library, encoder, {1: ["a dog", "a cat"], 2: ["a bird"], 5: ["a house"]})
    folder = photos(12)
    (folder / "00000.jpg").unlink()
    take(folder)
    assert {hit.caption for hit in engine.search("a dog", 3, to="captions")} == {"a bird", "a house"}


def test_without_captions_there_is_nothing_to_answer_with(engine: Engine) -> None:
    assert engine.search("dog", to="captions") == []


def test_an_unknown_kind_of_answer(engine: Engine) -> None:
    with pytest.raises(UsageError, match="videos"):
        engine.search("dog", to="videos")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_an_empty_query(engine: Engine, text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        engine.search(text)


@pytest.mark.parametrize("text", ["dog " * 10_000, "\udcff\udc00", "\0", "犬 \U0001f436"])
def test_odd_queries_are_answered(engine: Engine, text: str) -> None:
    assert len(engine.search(text, 3)) == 3


def test_an_empty_library(library: Library, encoder: ColourEncoder) -> None:
    with pytest.raises(UsageError, match="is empty"):
        Engine(library, encoder)


def test_all_photos_missing(engine: Engine, take: Take, photos: Photos) -> None:
    folder = photos(12)
    for file in folder.iterdir():
        file.unlink()
    take(folder)
    assert engine.search("dog", 5) == []


@pytest.mark.usefixtures("engine")
def test_another_model_is_refused(library: Library) -> None:
    with pytest.raises(FingerprintMismatch):
        Engine(library, ColourEncoder(salt="other"))
    with pytest.raises(UsageError, match="no vectors of model other"):
        Engine(library, ColourEncoder("other"))


def test_each_model_answers_from_its_own_vectors(engine: Engine, library: Library, take: Take, photos: Photos) -> None:
    class Negative(ColourEncoder):
        def embed_images(self, pixels: np.ndarray) -> np.ndarray:
            return -super().embed_images(pixels)

    other = Negative("other")
    take(photos(12), model=other)
    ahead, back = engine.search("dog", 12), Engine(library, other).search("dog", 12)
    assert [hit.id for hit in back] == [hit.id for hit in ahead][::-1]


@pytest.mark.parametrize("data", [None, b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_a_query_photo_that_cannot_be_read(engine: Engine, tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "query.jpg"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises((UnreadableFile, UsageError)) as error:
        engine.search([Term(image=str(file))])
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_query_photo(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        engine.search([Term(image=str(tmp_path))])


@pytest.mark.usefixtures("engine")
def test_what_is_forgotten_while_a_reader_is_open_is_left_out(
    library: Library, encoder: ColourEncoder, take: Take, photos: Photos
) -> None:
    caption(library, encoder, {i: [f"photo {i}"] for i in range(1, 13)})
    folder = photos(12)
    with open_library(library.path) as reader:
        asking = Engine(reader, encoder)
        assert len(asking.search("dog", 12)) == len(asking.search("dog", 12, to="captions")) == 12
        for name in ("00002.jpg", "00007.jpg"):
            (folder / name).unlink()
        take(folder)
        with library.transaction() as c:
            assert queries.forget_missing(c) == (2, 2)
        library.save_indexes()
        for to in ("photos", "captions"):
            hits = asking.search("dog", 12, to=to)
            assert len(hits) == 10
            assert [hit.rank for hit in hits] == list(range(1, 11))
            assert not {"00002.jpg", "00007.jpg"} & set(names(hits))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_holds_no_numbers(engine: Engine, value: float) -> None:
    xq = np.zeros((1, 48), np.float32)
    xq[0, 3] = value
    with pytest.raises(UsageError, match="no numbers"):
        engine.nearest(xq, 3)


def test_a_model_that_answers_with_nan(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.texts, "embed_texts", lambda texts: np.full((len(texts), 48), np.nan, np.float32))
    with pytest.raises(UsageError, match="no numbers"):
        engine.search("dog")


def test_a_photo_in_two_folders_is_shown_where_the_filter_looks(engine: Engine, take: Take, photos: Photos) -> None:
    first = photos(12) / "00003.jpg"
    other = first.parent.parent / "a" / "copy.jpg"
    other.parent.mkdir()
    other.write_bytes(first.read_bytes())
    take(other.parent)
    for folder, place in ((first.parent, first), (other.parent, other)):
        hits = engine.search("dog", 20, filters=Filters.of(under=folder))
        assert str(place) in [hit.path for hit in hits]
        assert all(hit.path.startswith(str(folder)) for hit in hits)
    assert len(engine.search("dog", 20, filters=Filters.of(under=other.parent))) == 1


def test_a_hit_as_json() -> None:
    hit = Hit(1, 0.5, "/a/\udcff.jpg", 3, ("x",))
    assert json.loads(json.dumps(hit.to_dict())) == {
        "rank": 1,
        "score": 0.5,
        "path": "/a/\udcff.jpg",
        "id": 3,
        "captions": ["x"],
        "taken": None,
    }
    assert Hit(1, 0.5, "a", 3, (), "found").to_dict()["caption"] == "found"
