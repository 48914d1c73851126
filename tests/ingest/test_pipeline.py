from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ColourEncoder
from vlsearch.catalog import queries
from vlsearch.check import verify
from vlsearch.errors import FingerprintMismatch, UsageError
from vlsearch.ingest import sources, taking
from vlsearch.ingest.pipeline import ingest
from vlsearch.ingest.scan import Found
from vlsearch.ingest.summary import Summary, duration
from vlsearch.library import Library, open_library

BATCH = 64

Photos = Callable[..., Path]
Take = Callable[..., Summary]

COUNTS = ("added", "unchanged", "moved", "missing", "failed", "skipped", "embedded")


def counts(summary: Summary) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: getattr(summary, name) for name in COUNTS if getattr(summary, name)}


def places(library: Library) -> dict[str, int]:
    with library.read() as c:
        return queries.contents_by_path(c)


def failures(library: Library) -> dict[str, str]:
    with library.read() as c:
        return dict(queries.failures(c))


def totals(library: Library) -> dict[str, int]:
    with library.read() as c:
        return queries.counts(c)


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


# What a run finds


def test_new_files_are_added_then_unchanged(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(5)
    assert counts(take(folder)) == {"added": 5, "embedded": 5}
    assert counts(take(folder)) == {"unchanged": 5}
    assert sorted(places(library)) == sorted(str(file) for file in folder.iterdir())
    assert sorted(places(library).values()) == [1, 2, 3, 4, 5]
    assert verify(library) == []


def test_unchanged_files_are_not_opened(
    take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch, encoder: ColourEncoder
) -> None:
    folder = photos(3)
    take(folder)

    def fail(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("vlsearch.ingest.readers.Decoder", fail)
    monkeypatch.setattr(encoder, "embed_images", fail)
    assert counts(take(folder)) == {"unchanged": 3}


def test_no_model_is_loaded_when_nothing_is_to_do(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(3)
    take(folder)

    def load() -> ColourEncoder:
        raise AssertionError("loaded")

    assert counts(ingest(library, [folder], "colour", load)) == {"unchanged": 3}
    (folder / "00000.jpg").rename(folder / "renamed.jpg")
    assert counts(ingest(library, [folder], "colour", load)) == {"unchanged": 2, "moved": 1}
    assert counts(ingest(library, [folder], "other", lambda: ColourEncoder("other"))) == {"added": 3, "embedded": 3}


def test_an_empty_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no photo")

    def load() -> ColourEncoder:
        raise AssertionError("loaded")

    summary = ingest(library, [tmp_path / "empty"], "colour", load)
    assert counts(summary) == {}
    assert str(summary).startswith("0 added, 0 unchanged in 0.")
    assert library.models() == []
    assert verify(library) == []


def test_no_such_path(library: Library, take: Take, photos: Photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        take(photos(2), tmp_path / "nowhere")
    assert places(library) == {}


def test_duplicates_are_embedded_once(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    folder = photos(3)
    shutil.copy(folder / "00001.jpg", folder / "copy.jpg")
    (folder / "sub").mkdir()
    shutil.copy(folder / "00001.jpg", folder / "sub" / "second copy.jpg")
    assert counts(take(folder)) == {"added": 5, "embedded": 3}
    shutil.copy(folder / "00001.jpg", folder / "later.jpg")
    assert counts(take(folder)) == {"unchanged": 5, "added": 1}
    assert encoder.embedded == 3
    assert len({places(library)[str(folder / name)] for name in ("00001.jpg", "copy.jpg", "later.jpg")}) == 1
    assert totals(library)["photos"] == 3
    assert verify(library) == []


def test_duplicates_far_apart_in_one_run(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    """A copy that is read while the first is not yet committed, and one that is read long after."""
    folder = photos(3 * BATCH)
    for name in ("00000 copy.jpg", "00070 copy.jpg", "00150 copy.jpg", "zz copy.jpg"):
        shutil.copy(folder / "00000.jpg", folder / name)
    assert counts(take(folder)) == {"added": 3 * BATCH + 4, "embedded": 3 * BATCH}
    assert encoder.embedded == 3 * BATCH
    assert verify(library) == []


def test_a_renamed_folder_costs_no_embedding(
    library: Library, take: Take, photos: Photos, encoder: ColourEncoder
) -> None:
    folder = photos(200)
    take(folder)
    before = library.vectors(library.model())
    renamed = folder.rename(folder.with_name("renamed"))
    assert counts(take(renamed)) == {"moved": 200}
    assert encoder.embedded == 200
    assert sorted(places(library)) == sorted(str(file) for file in renamed.iterdir())
    assert totals(library)["missing"] == 0
    assert all(np.array_equal(a, b) for a, b in zip(library.vectors(library.model()), before, strict=True))
    assert counts(take(renamed)) == {"unchanged": 200}
    assert verify(library) == []


def test_a_renamed_folder_seen_from_above(take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    folder = photos(5, "all/2020")
    take(folder.parent)
    folder.rename(folder.with_name("2021"))
    assert counts(take(folder.parent)) == {"moved": 5}
    assert encoder.embedded == 5


def test_photos_that_change_places(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    """a <-> b, and c -> d -> e: names that were other photos' names."""
    folder = photos(5)
    take(folder)
    ids = {Path(path).stem: i for path, i in places(library).items()}
    a, b, c, d, e = (folder / f"0000{i}.jpg" for i in range(5))
    a.rename(folder / "x")
    b.rename(a)
    (folder / "x").rename(b)
    e.unlink()
    d.rename(e)
    c.rename(d)
    for n, file in enumerate(sorted(folder.iterdir())):
        os.utime(file, ns=(10**18 + n, 10**18 + n))
    summary = take(folder)
    assert encoder.embedded == 5
    assert {Path(path).stem: i for path, i in places(library).items()} == {
        "00000": ids["00001"],
        "00001": ids["00000"],
        "00003": ids["00002"],
        "00004": ids["00003"],
    }
    assert summary.failed == 0
    assert summary.added + summary.moved + summary.unchanged == 4
    assert counts(take(folder)) == {"unchanged": 4}
    assert verify(library) == []


def test_a_copy_beside_the_photo_is_no_move(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(1)
    take(folder)
    shutil.copy(folder / "00000.jpg", folder / "copy.jpg")
    assert counts(take(folder / "copy.jpg")) == {"added": 1}
    assert len(places(library)) == 2


def test_one_photo_moved_to_two_places(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(1)
    take(folder)
    shutil.copy(folder / "00000.jpg", folder / "a.jpg")
    (folder / "00000.jpg").rename(folder / "b.jpg")
    assert counts(take(folder)) == {"added": 1, "moved": 1}
    assert sorted(Path(path).name for path in places(library)) == ["a.jpg", "b.jpg"]


def test_photos_that_are_gone_are_kept_and_hidden(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(4)
    take(folder)
    away = (folder / "00001.jpg").rename(folder.parent / "away.jpg")
    assert counts(take(folder)) == {"unchanged": 3, "missing": 1}
    assert (totals(library)["photos"], totals(library)["missing"]) == (4, 1)
    assert counts(take(folder)) == {"unchanged": 3}
    with library.read() as c:
        assert queries.hidden_contents(c).tolist() == [2]
    assert verify(library) == []
    away.rename(folder / "00001.jpg")
    assert counts(take(folder)) == {"unchanged": 4}
    assert totals(library)["missing"] == 0
    assert verify(library) == []


def test_a_missing_photo_that_comes_back_elsewhere_is_moved(
    library: Library, take: Take, photos: Photos, encoder: ColourEncoder
) -> None:
    folder = photos(4)
    take(folder)
    away = (folder / "00001.jpg").rename(folder.parent / "away.jpg")
    take(folder)
    away.rename(folder / "back.jpg")
    assert counts(take(folder)) == {"unchanged": 3, "moved": 1}
    assert encoder.embedded == 4
    assert totals(library)["missing"] == 0


def test_only_what_lies_under_the_given_folders_can_be_missing(library: Library, take: Take, photos: Photos) -> None:
    one, other = photos(2, "one"), photos(2, "one more", seed=1)
    take(one, other)
    for folder in (one, other):
        (folder / "00000.jpg").unlink()
    assert counts(take(one)) == {"unchanged": 1, "missing": 1}
    assert totals(library)["missing"] == 1
    assert counts(take(other / "00001.jpg")) == {"unchanged": 1}
    assert counts(take(other)) == {"unchanged": 1, "missing": 1}


def test_what_is_excluded_now_is_not_missing(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(2)
    take(folder)
    assert counts(take(folder, exclude=["00000*"])) == {"unchanged": 1}
    assert totals(library)["missing"] == 0


def test_a_changed_photo_is_embedded_again(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(3)
    take(folder)
    old = places(library)[str(folder / "00001.jpg")]
    (folder / "00001.jpg").write_bytes(jpeg(7))
    assert counts(take(folder)) == {"unchanged": 2, "added": 1, "embedded": 1}
    assert places(library)[str(folder / "00001.jpg")] != old
    assert len(places(library)) == 3
    with library.read() as c:
        assert queries.hidden_contents(c).tolist() == [old]
    assert verify(library) == []


def test_a_photo_that_was_only_touched_is_not(
    library: Library, take: Take, photos: Photos, encoder: ColourEncoder
) -> None:
    folder = photos(3)
    take(folder)
    os.utime(folder / "00001.jpg", ns=(5, 5))
    before = places(library)
    assert counts(take(folder)) == {"unchanged": 3}
    assert encoder.embedded == 3
    assert places(library) == before
    assert counts(take(folder)) == {"unchanged": 3}


def test_a_photo_renamed_to_another_suffix_and_links(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(2)
    take(folder)
    (folder / "00000.jpg").rename(folder / "00000.JPEG")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.jpg").symlink_to(folder / "nowhere.jpg")
    summary = take(folder)
    assert counts(summary) == {"unchanged": 1, "moved": 1, "failed": 1}
    assert summary.failures[0][0].endswith("broken.jpg")
    assert failures(library) == {}, "the link may be whole by the next run"


# Files that cannot be read


def test_bad_files_are_noted_and_left_alone_until_they_change(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(3)
    bad = {
        "text.jpg": b"this is no picture",
        "empty.jpg": b"",
        "cut.jpg": (folder / "00000.jpg").read_bytes()[:300],
        "renamed.png": b"%PDF-1.4",
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    summary = take(folder)
    assert counts(summary) == {"added": 3, "failed": 4, "embedded": 3}
    assert {Path(path).name for path, _ in summary.failures} == set(bad)
    assert failures(library) == dict(summary.failures)
    assert all(reason and "\n" not in reason for reason in failures(library).values())
    assert counts(take(folder)) == {"unchanged": 3, "skipped": 4}
    os.utime(folder / "text.jpg", ns=(5, 5))
    assert counts(take(folder)) == {"unchanged": 3, "skipped": 3, "failed": 1}
    (folder / "text.jpg").write_bytes(jpeg(8))
    (folder / "empty.jpg").unlink()
    assert counts(take(folder)) == {"unchanged": 3, "skipped": 2, "added": 1, "embedded": 1}
    assert {Path(path).name for path in failures(library)} == {"cut.jpg", "renamed.png"}
    assert verify(library) == []


def test_a_photo_that_is_spoiled_is_no_answer_any_more(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(2)
    take(folder)
    (folder / "00000.jpg").write_bytes(b"spoiled")
    assert counts(take(folder)) == {"unchanged": 1, "failed": 1}
    assert [Path(path).name for path in places(library)] == ["00001.jpg"]
    assert verify(library) == []


def test_a_bad_file_is_not_tried_with_every_model(take: Take, photos: Photos) -> None:
    folder = photos(1)
    (folder / "bad.jpg").write_bytes(b"bad")
    take(folder)
    assert counts(take(folder, model=ColourEncoder("other"))) == {"added": 1, "skipped": 1, "embedded": 1}


def test_what_the_system_refuses_is_tried_again(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(3)
    photo = folder / "00001.jpg"
    away = photo.rename(folder.parent / "away.jpg")
    photo.mkdir()  # it is there, and cannot be read
    with library.read() as c:
        assert queries.failures(c) == []
    with_link = photo.rename(folder / "folder")
    photo.symlink_to(with_link / "nothing.jpg")
    assert counts(take(folder)) == {"added": 2, "failed": 1, "embedded": 2}
    assert failures(library) == {}
    photo.unlink()
    away.rename(photo)
    assert counts(take(folder)) == {"unchanged": 2, "added": 1, "embedded": 1}


@pytest.mark.usefixtures("permissions")
def test_a_file_and_a_folder_without_permission(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(3)
    closed = photos(2, "photos/closed", seed=1)
    take(folder)
    closed.chmod(0)
    (folder / "00001.jpg").chmod(0)
    os.utime(folder / "00001.jpg", ns=(5, 5))
    try:
        summary = take(folder)
        assert counts(summary) == {"unchanged": 2, "failed": 2}
        assert totals(library)["missing"] == 0
    finally:
        closed.chmod(0o700)
        (folder / "00001.jpg").chmod(0o600)
    assert counts(take(folder)) == {"unchanged": 5}


def test_a_folder_that_cannot_be_listed_hides_nothing(
    library: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(2)
    closed = photos(2, "photos/closed", seed=1)
    take(folder)
    original = os.scandir

    def refuse(path: str) -> Any:
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied")
        return original(path)

    lexists = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: closed.name not in str(path) and lexists(path))
    monkeypatch.setattr("vlsearch.ingest.scan.os.scandir", refuse)
    summary = take(folder)
    assert counts(summary) == {"unchanged": 2, "failed": 1}
    assert summary.failures == [(str(closed), "permission denied")]
    assert totals(library)["missing"] == 0


# Files that change while they are looked at


def with_each(change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Lets `change` happen to the file called `name` after it was found and before it is read."""
    original = sources.Fetcher.fetch

    def before(self: sources.Fetcher, found: Found) -> bytes | None:
        if found.path.endswith(name):
            change(Path(found.path))
        return original(self, found)

    monkeypatch.setattr(sources.Fetcher, "fetch", before)


def test_a_photo_deleted_between_listing_and_reading(
    library: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(3)
    with_each(Path.unlink, monkeypatch, "00001.jpg")
    summary = take(folder)
    assert counts(summary) == {"added": 2, "failed": 1, "embedded": 2}
    assert summary.failures[0][1] == "No such file or directory"
    assert failures(library) == {}
    assert verify(library) == []


def test_a_photo_rewritten_between_listing_and_reading_is_taken_as_it_is(
    library: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(3)
    with monkeypatch.context() as patch:
        with_each(lambda path: path.write_bytes(jpeg(9)), patch, "00001.jpg")
        assert counts(take(folder)) == {"added": 3, "embedded": 3}
    assert counts(take(folder)) == {"unchanged": 3}, "its size and time are those of what was read"
    assert verify(library) == []


# Containers


def test_a_bad_row_costs_itself(library: Library, take: Take, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [jpeg(1), None, jpeg(2), b""]
    pq.write_table(
        pa.table({"jpg": pa.array(rows, pa.binary()), "caption": ["a", "b", "c", "d"]}), tmp_path / "a.parquet"
    )
    summary = take(tmp_path / "a.parquet")
    assert counts(summary) == {"added": 2, "failed": 2, "embedded": 2}
    assert set(failures(library)) == {f"{tmp_path}/a.parquet#{row}" for row in (1, 3)}
    assert counts(take(tmp_path / "a.parquet")) == {"unchanged": 2, "skipped": 2}
    with library.read() as c:
        assert [(text, source) for _, _, text, source, _ in queries.all_captions(c)] == [
            ("a", "a.parquet"),
            ("c", "a.parquet"),
        ]
    assert verify(library) == []


def test_a_container_that_is_gone_takes_its_photos_along(library: Library, take: Take, tmp_path: Path) -> None:
    file = tmp_path / "shards" / "a.tar"
    file.parent.mkdir()
    with tarfile.open(file, "w") as tar:
        for n in range(3):
            member = tarfile.TarInfo(f"{n}.jpg")
            member.size = len(jpeg(n))
            tar.addfile(member, io.BytesIO(jpeg(n)))
    assert counts(take(file)) == {"added": 3, "embedded": 3}
    moved = file.rename(file.with_name("b.tar"))
    assert counts(take(moved)) == {"moved": 3}
    with tarfile.open(moved, "w") as tar:
        member = tarfile.TarInfo("1.jpg")
        member.size = len(jpeg(1))
        tar.addfile(member, io.BytesIO(jpeg(1)))
    assert counts(take(moved)) == {"unchanged": 1, "missing": 2}
    assert sorted(places(library)) == [f"{moved}#1.jpg"]
    assert verify(library) == []


# Models


def test_an_ingest_completes_an_imported_model(
    library: Library, take: Take, photos: Photos, tmp_path: Path, encoder: ColourEncoder
) -> None:
    from vlsearch.ingest.vector_files import open_files
    from vlsearch.ingest.vector_import import import_vectors

    folder = photos(3)
    vectors = np.random.default_rng(0).normal(size=(2, encoder.dim)).astype(np.float32)
    np.savez(tmp_path / "v.npz", embeddings=vectors, paths=np.array(["one.jpg", "two.jpg"]))
    import_vectors(library, open_files([tmp_path / "v.npz"]), encoder.name)
    assert library.model().fingerprint == ""
    assert counts(take(folder)) == {"added": 3, "embedded": 3}
    assert library.model().fingerprint == encoder.fingerprint
    assert len(library.vectors(library.model())[0]) == 5
    assert verify(library) == []


def test_two_models_side_by_side(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    folder = photos(70)
    other = ColourEncoder("other", salt="other")
    take(folder)
    assert counts(take(folder, model=other)) == {"added": 70, "embedded": 70}
    assert (encoder.embedded, other.embedded) == (70, 70)
    one, two = (library.vectors(library.model(name)) for name in ("colour", "other"))
    assert np.array_equal(one[0], two[0])
    assert totals(library)["photos"] == 70
    for model in (encoder, other):
        assert counts(take(folder, model=model)) == {"unchanged": 70}
    assert verify(library) == []


def test_other_weights_under_a_known_name_store_nothing(library: Library, take: Take, photos: Photos) -> None:
    take(photos(3))
    before = sorted(library.path.glob("vectors/*/*"))
    with pytest.raises(FingerprintMismatch):
        take(photos(3, "more", seed=1), model=ColourEncoder(salt="other"))
    assert sorted(library.path.glob("vectors/*/*")) == before
    assert totals(library)["photos"] == 3
    assert verify(library) == []


def test_captions_get_vectors_of_a_new_model(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(2)
    take(folder)
    with library.transaction() as c:
        queries.add_captions(c, [(1, "a dog", None), (2, "a cat", None)], "test")
    seen: list[tuple[str, int, int]] = []
    assert counts(take(folder, progress=lambda *step: seen.append(step))) == {"unchanged": 2}
    assert seen[1:] == [("captions", 0, 2), ("captions", 2, 2)]
    other = ColourEncoder("other")
    take(folder, model=other)
    assert library.vectors(library.model("other"), "text")[0].tolist() == [1, 2]
    assert verify(library) == []


# Interruptions


def test_a_run_that_breaks_off_keeps_what_it_committed(
    library: Library, take: Take, photos: Photos, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(4 * BATCH)
    monkeypatch.setattr(taking, "COMMIT_SECONDS", 0.0)
    embed = encoder.embed_images

    def fail(pixels: Any) -> Any:
        if encoder.embedded >= 2 * BATCH:
            raise MemoryError
        return embed(pixels)

    encoder.embed_images = fail  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        take(folder)
    kept = totals(library)["files"]
    assert 0 < kept <= 2 * BATCH
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reader", "lane"))]
    library.close()
    encoder.embed_images = embed  # type: ignore[method-assign]
    with open_library(library.path, write=True) as again:
        summary = ingest(again, [folder], "colour", lambda: encoder)
        rest = 4 * BATCH - kept
        assert counts(summary) == {"added": rest, "unchanged": kept, "embedded": rest}
        assert verify(again) == []


def test_ctrl_c_commits_what_is_embedded(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    folder = photos(4 * BATCH)
    embed = encoder.embed_images

    def interrupted(pixels: Any) -> Any:
        if encoder.embedded >= BATCH:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return embed(pixels)

    encoder.embed_images = interrupted  # type: ignore[method-assign]
    handler = signal.getsignal(signal.SIGINT)
    summary = take(folder)
    assert summary.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    assert BATCH < summary.embedded == encoder.embedded == totals(library)["photos"] < 4 * BATCH
    encoder.embed_images = embed  # type: ignore[method-assign]
    rest = 4 * BATCH - summary.embedded
    assert counts(take(folder)) == {"added": rest, "unchanged": summary.embedded, "embedded": rest}
    assert encoder.embedded == 4 * BATCH
    assert verify(library) == []


def test_a_second_ctrl_c_ends_it_on_the_spot(take: Take, photos: Photos) -> None:
    folder = photos(3)

    def impatient(what: str, *_: int) -> None:
        if what == "files":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            take(folder, progress=impatient)
    finally:
        signal.signal(signal.SIGINT, before)
    assert counts(take(folder)) == {"added": 3, "embedded": 3}


def test_an_error_in_a_reading_thread_is_not_swallowed(
    library: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("vlsearch.ingest.decoders.as_read", broken)
    with pytest.raises(ZeroDivisionError):
        take(photos(3))
    assert totals(library)["files"] == 0


# Order, progress, summary


def test_ids_follow_the_order_of_the_paths(
    library: Library, take: Take, photos: Photos, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lane is first: two machines give the same library."""
    folder = photos(100)
    shutil.copy(folder / "00090.jpg", folder / "00003 copy of 90.jpg")
    draw = random.Random(0)
    embed = encoder.embed_images

    def slow(pixels: Any) -> Any:
        time.sleep(draw.random() / 50)
        return embed(pixels)

    monkeypatch.setattr(encoder, "image_lanes", lambda: [slow] * 4)
    monkeypatch.setattr(encoder, "lane_batch", 3)
    take(folder)
    found = [i for path, i in sorted(places(library).items()) if not path.endswith("00090.jpg")]
    assert found == list(range(1, 101))


def test_failures_come_in_the_order_of_the_paths(take: Take, tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / f"{n:02d}.jpg").write_bytes(b"bad" * n)
    assert [Path(path).name for path, _ in take(tmp_path).failures] == [f"{n:02d}.jpg" for n in range(20)]


def test_progress_counts_to_the_end(take: Take, photos: Photos) -> None:
    seen: list[tuple[str, int, int]] = []
    take(photos(5), progress=lambda *step: seen.append(step))
    assert seen[0] == ("files", 5, 0)
    assert seen[-1] == ("photos", 5, 5)
    assert [done for what, done, _ in seen if what == "photos"] == sorted(done for _, done, _ in seen[1:])


def test_the_number_of_photos_in_flight_is_bounded(
    take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch, encoder: ColourEncoder
) -> None:
    """However many photos there are, memory holds few of them."""
    monkeypatch.setattr(taking, "AHEAD", 40)
    monkeypatch.setattr(encoder, "lane_batch", 4)
    received = 0
    original = taking.Taking._received
    ahead = []

    def counting(self: taking.Taking, read: Any) -> None:
        nonlocal received
        received += 1
        ahead.append(received - self.settled)
        original(self, read)

    embed = encoder.embed_images

    def slow(pixels: Any) -> Any:
        time.sleep(0.01)
        return embed(pixels)

    monkeypatch.setattr(taking.Taking, "_received", counting)
    monkeypatch.setattr(encoder, "embed_images", slow)
    take(photos(300))
    assert received == 300
    assert 10 < max(ahead) <= 40


def test_the_last_line() -> None:
    summary = Summary(added=1204, unchanged=310, moved=12, failed=3, embedded=1189, seconds=41.2)
    assert str(summary) == "1,204 added, 310 unchanged, 12 moved, 3 failed in 41 s (29 photos/s)"
    assert str(Summary()) == "0 added, 0 unchanged in 0.0 s"
    assert str(Summary(missing=2, skipped=1, seconds=0.25)) == (
        "0 added, 0 unchanged, 2 missing, 1 skipped (failed before) in 0.2 s"
    )


def test_the_summary_as_one_object() -> None:
    row = Summary(added=1, seconds=1.23456, failures=[("a", "b")]).to_dict()
    assert json.loads(json.dumps(row)) == row
    assert row == {
        **dict.fromkeys(("unchanged", "moved", "missing", "failed", "skipped", "embedded"), 0),
        "interrupted": False,
        "added": 1,
        "seconds": 1.235,
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (10.4, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
