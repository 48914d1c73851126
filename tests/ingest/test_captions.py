from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.captions import CaptionRow, match, read_captions, read_sidecars
from vlsearch.ingest.export import write_captions

TWO = [CaptionRow("a.jpg", "a dog on the beach"), CaptionRow("b.jpg", "red, white")]


def read(path: Path, content: str | bytes) -> list[CaptionRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_captions(path))


def refused(path: Path, content: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read(path, content)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


# Reading


def test_coco(tmp_path: Path) -> None:
    data = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 1, "id": 10, "caption": " a dog on the beach\n"},
            {"image_id": 2, "id": 11, "caption": "red, white"},
            {"image_id": 3, "id": 12, "caption": "not there"},
            {"image_id": 1, "id": 13, "caption": "ein Hund", "language": "de"},
        ],
    }
    rows = read(tmp_path / "captions.json", json.dumps(data))
    assert rows == [*TWO, CaptionRow("image 3", "not there"), CaptionRow("a.jpg", "ein Hund", "de")]


def test_karpathy(tmp_path: Path) -> None:
    data = {
        "dataset": "coco",
        "images": [
            {
                "filepath": "val2014",
                "filename": "a.jpg",
                "sentences": [{"raw": "one.", "tokens": ["one"]}, {"raw": "two"}],
            },
            {"filename": "b.jpg", "sentences": [{"raw": "three"}]},
        ],
    }
    assert read(tmp_path / "dataset_coco.json", json.dumps(data)) == [
        CaptionRow("val2014/a.jpg", "one."),
        CaptionRow("val2014/a.jpg", "two"),
        CaptionRow("b.jpg", "three"),
    ]


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "results_20130124.token", "captions.tsv", "captions.csv"])
def test_token_files(tmp_path: Path, name: str) -> None:
    content = 'a.jpg#0\ta dog on the beach\nb.jpg#4\tred, white\n\nc#d.jpg#1\tsays "hi\n'
    assert read(tmp_path / name, content) == [*TWO, CaptionRow("c#d.jpg", 'says "hi')]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'path,caption\na.jpg,a dog on the beach\nb.jpg,"red, white"\n'),
        ("captions.txt", 'image,caption\na.jpg,a dog on the beach\nb.jpg,"red, white"\n'),
        ("a.csv", "\ufeffpath;caption\r\na.jpg;a dog on the beach\r\n\r\nb.jpg;red, white\r\n"),
        ("a.csv", '"Caption","Image_Path"\n"a dog on the beach","a.jpg"\n"red, white","b.jpg"'),
        ("a.tsv", "\ttitle\tfilepath\tneg_caption\n0\ta dog on the beach\ta.jpg\tx\n1\tred, white\tb.jpg\ty\n"),
        ("a.tsv", "file_name\tcaption\na.jpg\ta dog on the beach\nb.jpg\tred, white\n"),
        ("r.csv", "image_name| comment_number| comment\na.jpg| 0| a dog on the beach\nb.jpg| 1   red, white\n"),
        ("a.jsonl", '{"image": "a.jpg", "text": "a dog on the beach"}\n\n{"image": "b.jpg", "text": "red, white"}'),
        ("a.json", '{"img": "a.jpg", "texts": "a dog on the beach"}\n{"photo": "b.jpg", "text": "red, white"}\n'),
        ("a.json", '[{"path": "a.jpg", "captions": ["a dog on the beach"]},{"path": "b.jpg", "raw": "red, white"}]'),
        ("a.jsonl", '\ufeff{"image": {"path": "a.jpg"}, "sentences": [{"raw": "a dog on the beach"}, {"raw": " "}]}\n'
         '{"filename": "b.jpg", "caption": "red, white", "title": "no"}\n'),
    ],
)  # fmt: skip
def test_tables_and_records(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path / name, content) == TWO


def test_a_quoted_caption_may_hold_anything(tmp_path: Path) -> None:
    content = 'path,caption,lang\na.jpg,"says ""no"", then\nleaves",en\nb.jpg,,\n'
    assert read(tmp_path / "a.csv", content) == [CaptionRow("a.jpg", 'says "no", then\nleaves', "en")]


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"file_name": ["a.jpg", "b.jpg"], "caption": [TWO[0].text, TWO[1].text], "x": [1, 2]}), path
    )
    assert list(read_captions(path)) == TWO
    lists = {
        "captions": [["one", "two"], None, []],
        "path": ["a.jpg", "b.jpg", "c.jpg"],
        "Language": ["en", None, "de"],
    }
    pq.write_table(pa.table(lists), path)
    assert list(read_captions(path)) == [CaptionRow("a.jpg", "one", "en"), CaptionRow("a.jpg", "two", "en")]
    inside = {
        "image": [{"bytes": b"x", "path": "a.jpg"}, {"bytes": b"y", "path": "b.jpg"}],
        "text": [t.text for t in TWO],
    }
    pq.write_table(pa.table(inside), path)
    assert list(read_captions(path)) == TWO
    pq.write_table(pa.table({"path": ["a.jpg", None], "caption": ["one", "two"]}), path)
    with pytest.raises(UnreadableFile, match=r"row 2: 'path' is not a path"):
        list(read_captions(path))


def test_sidecars(tmp_path: Path) -> None:
    for name, text in {
        "a.txt": "\ufeffone\n\n  two  \r\n",
        "b.jpg.txt": "three",
        "b.txt": "not this",
        "c.txt": "",
        "d.jpg": "no captions",
    }.items():
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "e.txt").mkdir()
    photos = [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "d.jpg/f.jpg")]
    assert list(read_sidecars(photos)) == [
        CaptionRow(photos[0], "one"),
        CaptionRow(photos[0], "two"),
        CaptionRow(photos[1], "three"),
    ]
    (tmp_path / "a.txt").write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(UnreadableFile, match=r"a\.txt': line 2 is not UTF-8"):
        list(read_sidecars(photos))


def test_xmp_sidecars(tmp_path: Path) -> None:
    def xmp(text: str) -> str:
        return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag>
        </dc:subject><dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>
        </rdf:Description></rdf:RDF></x:xmpmeta>"""

    for name, text in {
        "a.jpg.xmp": xmp("one"),
        "a.xmp": xmp("not this"),
        "b.xmp": xmp("two"),
        "b.txt": "three",
        "c.xmp": "<broken",
        "d.xmp": xmp(""),
    }.items():
        (tmp_path / name).write_text(text)
    photos = [str(tmp_path / name) for name in ("a.jpg", "b.nef", "c.jpg", "d.jpg")]
    assert list(read_sidecars(photos)) == [
        CaptionRow(photos[0], "one"),
        CaptionRow(photos[1], "three"),
        CaptionRow(photos[1], "two"),
    ]


# Bad files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{}"),
        ("a.json", "3"),
        ("a.json", "not json"),
        ("a.json", ""),
        ("a.json", "[" * 200_000),
        ("a.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}'),
        ("a.json", '{"images": [{"filename": "a.jpg"}]}'),
        ("a.json", '{"images": [{"filename": "a.jpg", "sentences": [{"raw": 3}]}]}'),
        ("a.json", '{"images": {}, "annotations": []}'),
        ("a.json", '[{"path": "a.jpg"}]'),
        ("a.json", '["a.jpg"]'),
        ("a.jsonl", "[1]"),
        ("a.jsonl", "path,caption"),
        ("a.csv", ""),
        ("a.csv", "a.jpg,a dog\n"),
        ("a.csv", "path,number\na.jpg,3\n"),
        ("a.txt", "Dear diary\n"),
        ("a.token", b"\xff\xd8\xff\xe0 a photo"),
        ("a.csv", "path,caption\n".encode("utf-16")),
        ("a.parquet", "path,caption\n"),
        ("a.parquet", ""),
    ],
)
def test_a_wrong_file_says_what_was_expected(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert "expected COCO or Karpathy JSON, a Flickr token file" in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.csv", 'path,caption\na.jpg,"one\ntwo"\nb.jpg,three,four\n', "line 4 has 3 cells, the first line 2"),
        ("a.csv", "path,caption\na.jpg,one\nb.jpg\n", "line 3 has 1 cells"),
        ("a.csv", 'path,caption\na.jpg,one\nb.jpg,"two" and\n', "line 3: "),
        ("a.csv", 'path,caption\na.jpg,one\nb.jpg,"two\n', "line 3: "),
        ("a.csv", "path,caption\na.jpg,one\n,two\n", "line 3: 'path' is not a path"),
        ("a.csv", b"path,caption\na.jpg,one\nb.jpg,caf\xe9\n", "line 3 is not UTF-8"),
        ("a.csv", "path,caption\na.jpg," + "x" * 140_000, "line 2: "),
        ("a.token", "a.jpg#0\tone\nb.jpg two\n", "line 2 is not 'name.jpg#0'"),
        ("a.jsonl", '{"path": "a.jpg", "caption": "one"}\n{"path": "b.jpg", \n', "line 2 is not a JSON object"),
        ("a.jsonl", '{"path": "a.jpg", "caption": "one"}\n{"path": "b.jpg"}\n', "line 2 has no caption"),
        (
            "a.jsonl",
            '{"path": "a.jpg", "caption": "one"}\n{"path": 3, "caption": "x"}\n',
            "line 2: 'path' is not a path",
        ),
        (
            "a.jsonl",
            '{"path": "a.jpg", "caption": "one"}\n{"path": "b", "caption": 3}\n',
            "line 2: 'caption' is neither",
        ),
        (
            "a.jsonl",
            '{"path": "a.jpg", "caption": "one"}\n{"path": "b", "caption": {"x": 1}}\n',
            "line 2: 'caption' is",
        ),
        ("a.jsonl", b'{"path": "a.jpg", "caption": "one"}\n\n"\xff"\n', "line 3 is not UTF-8"),
        ("a.json", b'[{"path": "a.jpg",\n "caption": "\xe9"}]', "line 2 is not UTF-8"),
        ("a.json", '[{"path": "a.jpg", "caption": "one"}, {"path": "a.jpg"}]', "item 2 has no caption"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, content: str | bytes, where: str) -> None:
    assert f": {where}" in refused(tmp_path / name, content)


def test_what_comes_before_a_bad_line_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,caption\na.jpg,one\nb.jpg\n")
    rows = read_captions(tmp_path / "a.csv")
    assert next(rows) == CaptionRow("a.jpg", "one")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file: "):
        list(read_captions(tmp_path / "nope.csv"))
    for name in ("folder", "folder.parquet", "folder.json"):
        (tmp_path / name).mkdir()
        with pytest.raises(UnreadableFile, match="is a directory; expected COCO"):
            list(read_captions(tmp_path / name))


# Matching


def matched(photos: dict[str, int], *names: str) -> list[int | None]:
    """The content that each of `names` finds."""
    found = []
    for name in names:
        hits, misses = match([CaptionRow(name, "x")], photos)
        assert len(hits) + len(misses) == 1
        found.append(hits[0][0] if hits else None)
    return found


def test_a_full_path_then_the_longest_ending_then_the_name_alone() -> None:
    photos = {"/p/train/1.jpg": 1, "/p/val/1.jpg": 2, "/p/val/2.jpg": 3, "/q/val/1.jpg": 4, "/p/odd,name.jpg": 5}
    assert matched(photos, "/p/val/1.jpg", "train/1.jpg", "x/train/1.jpg", "p/val/1.jpg", "./q/val/1.jpg") == [
        2,
        1,
        1,
        2,
        4,
    ]
    assert matched(photos, "2.jpg", "coco/val2014/2.jpg", "/elsewhere/2.jpg", "odd,name.jpg") == [3, 3, 3, 5]
    assert matched(photos, "images\\val\\2.jpg", r"C:\p\train\1.jpg") == [3, 1]
    # Several photos end alike: none is taken.
    assert matched(photos, "1.jpg", "val/1.jpg", "test/1.jpg") == [None, None, None]
    assert matched(photos, "3.jpg", "jpg", "", "/", "/p/val", "val/") == [None] * 6


def test_copies_of_one_photo_are_one_photo() -> None:
    photos = {"/p/a/1.jpg": 7, "/p/b/1.jpg": 7, "/p/c/2.jpg": 8, "/p/d/2.jpg": 9}
    assert matched(photos, "1.jpg", "2.jpg") == [7, None]


def test_case_and_composition_count_only_when_nothing_is_equal() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")
    assert composed != decomposed
    assert matched({f"/p/{decomposed}": 1}, composed, f"/p/{composed}", "CAFÉ.JPG") == [1, 1, 1]
    both = {f"/p/{decomposed}": 1, f"/q/{composed}": 2}
    assert matched(both, decomposed, composed, "CAFÉ.jpg") == [1, 2, None]
    assert matched({"/p/IMG_1.JPG": 1, "/p/img_1.jpg": 2}, "img_1.jpg", "IMG_1.JPG", "Img_1.jpg") == [2, 1, None]


def test_match_keeps_order_texts_and_languages_and_lists_the_rest_row_by_row() -> None:
    rows = [
        CaptionRow("a.jpg", "one", "en"),
        CaptionRow("z.jpg", "two"),
        CaptionRow("b.jpg", "three"),
        CaptionRow("z.jpg", "4"),
    ]
    assert match(iter(rows), {"/p/a.jpg": 5, "/p/b.jpg": 6}) == (
        [(5, "one", "en"), (6, "three", None)],
        ["z.jpg", "z.jpg"],
    )
    assert match([], {}) == ([], [])


def test_names_that_are_not_utf8_match() -> None:
    assert matched({"/p/caf\udce9.jpg": 1}, "/p/caf\udce9.jpg", "caf\udce9.jpg") == [1, 1]


# Writing


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".json"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=20).map(
        str.strip
    )
    name = text.filter(bool)
    row = st.builds(CaptionRow, photo=name, text=name, language=st.sampled_from([None, "en", "pt-BR"]))
    path = tmp_path / f"captions{suffix}"

    @given(st.lists(row, max_size=4))
    def roundtrip(rows: list[CaptionRow]) -> None:
        assert write_captions(iter(rows), path) == len(rows)
        assert list(read_captions(path)) == rows

    roundtrip()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".json"])
def test_a_name_that_is_not_utf8(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"captions{suffix}"
    rows = [CaptionRow("/p/caf\udce9.jpg", "ein Café")]
    if suffix in (".jsonl", ".json"):
        write_captions(rows, path)
        assert list(read_captions(path)) == rows
    else:
        with pytest.raises(UsageError, match=r"not UTF-8; \.jsonl holds it"):
            write_captions(rows, path)
        assert list(tmp_path.iterdir()) == []


def test_json_lines_stay_readable(tmp_path: Path) -> None:
    write_captions([CaptionRow("café.jpg", "ein Hund 🐕", "de")], tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text(
        "utf-8"
    ) == '{"path": "café.jpg", "caption": "ein Hund 🐕", "language": "de"}\n'


def test_an_unknown_extension_and_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"should end in \.jsonl, \.csv, \.tsv, \.parquet, \.json"):
        write_captions(TWO, tmp_path / "a.xlsx")
    with pytest.raises(UsageError, match="no such file or directory"):
        write_captions(TWO, tmp_path / "nope" / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    write_captions(TWO, path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="no space left on device"):
        write_captions(TWO[:1], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


# Real files


def test_the_captions_of_coco200_match_its_photos(shared: Path) -> None:
    folder = shared / "data" / "coco200"
    rows = list(read_captions(folder / "captions.json"))
    photos = {str(path): number for number, path in enumerate(sorted((folder / "images").iterdir()))}
    hits, misses = match(rows, photos)
    assert (len(rows), len(hits), len(misses), len({hit[0] for hit in hits})) == (1001, 1001, 0, 200)
    described = json.loads((folder / "captions.json").read_bytes())["annotations"]
    assert [row.text for row in rows] == [note["caption"].strip() for note in described]


def test_flickr8k(shared: Path) -> None:
    rows = list(read_captions(shared / "data" / "captions" / "Flickr8k.token.txt"))
    lines = (shared / "data" / "captions" / "Flickr8k.token.txt").read_text("utf-8").splitlines()
    assert len(rows) == len([line for line in lines if line.partition("\t")[2].strip()]) > 40_000
    assert rows[0] == CaptionRow(
        "1000268201_693b08cb0e.jpg", "A child in a pink dress is climbing up a set of stairs in an entry way ."
    )
    assert len({row.photo for row in rows}) > 8000


def test_other_shared_files(shared: Path) -> None:
    first = next(read_captions(shared / "data" / "captions" / "aro_valid_neg_clip.tsv"))
    assert first == CaptionRow(
        "coco/val2014/COCO_val2014_000000184613.jpg", "A child holding a flowered umbrella and petting a yak."
    )
    assert len(list(read_captions(shared / "data" / "captions" / "aro_valid_neg_clip.tsv"))) == 4839
    assert len(list(read_captions(shared / "data" / "captions" / "coco_captions_val2017.json"))) == 24_374
    assert next(read_captions(shared / "data" / "flickr8k_clip_embeddings" / "test.jsonl")).photo.endswith(".jpg")


@pytest.mark.skipif(sys.gettrace() is not None, reason="timed")
def test_matching_does_not_compare_each_with_each() -> None:
    import time

    photos = {f"/photos/{i % 500}/{i // 500:04}.jpg": i for i in range(50_000)}
    rows = [CaptionRow(f"{i % 500}/{i // 500:04}.jpg", "x") for i in range(50_000) for _ in range(4)]
    began = time.perf_counter()
    hits, misses = match(rows, photos)
    assert time.perf_counter() - began < 5
    assert [hit[0] for hit in hits[::4]] == list(range(50_000))
    assert misses == []
