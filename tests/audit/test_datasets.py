from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlsearch.audit.datasets import (
    PUBLISHED,
    Captioned,
    Choice,
    Choices,
    Pair,
    Photo,
    PhotoFolder,
    Statement,
    available,
    load,
    order,
    photo_key,
    photo_names,
    require,
)
from vlsearch.audit.datasets.symmetric import SYMMETRIC
from vlsearch.errors import UnreadableFile, UsageError

KARPATHY = {
    "images": [
        {
            "filepath": "val2014",
            "filename": "COCO_val2014_000000000042.jpg",
            "split": "test",
            "sentences": [{"raw": "A dog on a beach."}, {"raw": "Ein Hund läuft 🐕 \n"}],
        },
        {"filepath": "train2014", "filename": "other.jpg", "split": "train", "sentences": [{"raw": "no"}]},
        {"filename": "b.jpg", "split": "test", "sentences": [{"raw": "Two cats"}]},
    ]
}
LISTS = [
    {"image": "val2014/COCO_val2014_000000000042.jpg", "caption": ["A dog on a beach.", "Ein Hund läuft 🐕"]},
    {"image": "b.jpg", "caption": ["Two cats"]},
]
COCO = {
    "images": [{"id": 42, "file_name": "val2014/COCO_val2014_000000000042.jpg"}, {"id": 7, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 42, "caption": "A dog on a beach."},
        {"image_id": 7, "caption": "Two cats"},
        {"image_id": 42, "caption": "Ein Hund läuft 🐕"},
        {"image_id": 9, "caption": "of a photo that a subset leaves out"},
    ],
}
BOX = {"bbox_x": 10, "bbox_y": 20, "bbox_w": 30, "bbox_h": 40}
RELATIONS = [
    {"image_path": f"{n}.jpg", **BOX, "relation_name": relation, "true_caption": "a on b", "false_caption": "b on a"}
    for n, relation in enumerate(["on", "near", "on", "behind"])
]
WINOGROUND = [
    {
        "id": n,
        "image_0": f"ex_{n}_img_0",
        "image_1": f"ex_{n}_img_1",
        "caption_0": "some plants surrounding a lightbulb",
        "caption_1": "a lightbulb surrounding some plants",
        "tag": "Noun Phrase",
        "secondary_tag": "",
        "num_main_preds": 1,
        "collapsed_tag": "Object",
    }
    for n in range(4)
]
VSR = [
    {"image": f"{n}.jpg", "image_link": "…", "caption": "The cat is on the mat.", "label": n % 2, "relation": "on"}
    for n in range(4)
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Writes JSON, or for .jsonl a line for each item, or for .parquet a row."""

    def file(name: str, data: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in data), encoding="utf-8")
        elif path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(data), path)
        else:
            path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        return path

    return file


def published_as(monkeypatch: pytest.MonkeyPatch, name: str, **counts: int) -> None:
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], editions=(counts,)))


def captioned(name_or_path: str, data: Path | None = None) -> Captioned:
    found = load(name_or_path, data)
    assert isinstance(found, Captioned)
    return found


def choices(name_or_path: str | Path, data: Path | None = None) -> Choices:
    found = load(str(name_or_path), data)
    assert isinstance(found, Choices)
    return found


def choices_of(items: Iterable[Choice]) -> Choices:
    return Choices("some", tuple(items))


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("dataset_coco.json", KARPATHY),
        ("coco_karpathy_test.json", LISTS),
        ("captions_val2017.json", COCO),
        ("mine.jsonl", [{"image": i["image"], "captions": i["caption"]} for i in LISTS]),
        ("a_line_a_caption.jsonl", [{"image": i["image"], "caption": c} for i in LISTS for c in i["caption"]]),
        ("mine.parquet", [{"image": i["image"], "captions": i["caption"]} for i in LISTS]),
    ],
)
def test_captions_are_the_same_in_every_format(
    file: str, data: Any, write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(file, data)
    published_as(monkeypatch, "coco", photos=2, captions=3)
    for found in (captioned(str(path)), captioned("coco", path)):
        assert found.photos == ("val2014/COCO_val2014_000000000042.jpg", "b.jpg")
        assert found.texts == ("A dog on a beach.", "Ein Hund läuft 🐕", "Two cats")
        assert found.owner.tolist() == [0, 0, 1]
        assert found.part == ""
        assert found.task == "retrieval"
    assert captioned(str(path)).name == file


@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_the_order_task_reads_the_same_files(
    name: str, write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(PUBLISHED[name].files[0], LISTS)
    published_as(monkeypatch, f"{name}-order", photos=2, captions=3)
    found = captioned(f"{name}-order", path.parent)
    assert (found.name, found.task, len(found.texts)) == (f"{name}-order", "order", 3)


def test_of_several_files_the_first_is_read(write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for file in PUBLISHED["coco"].files:
        folder = write(file, LISTS).parent
    published_as(monkeypatch, "coco", photos=2, captions=3)
    assert len(captioned("coco", folder).texts) == 3


def test_relations_have_a_box_and_symmetric_ones_are_left_out(
    write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("visual_genome_relation.json", RELATIONS)
    published_as(monkeypatch, "vg-relation", items=4)
    for found in (choices("vg-relation", path.parent), choices(path)):
        assert [item.group for item in found.items] == ["on", "on", "behind"]
        assert found.items[0].photos == (Photo("0.jpg", (10, 20, 40, 60)),)
        assert found.items[0].texts == ("a on b", "b on a")
        assert found.left_out == ("symmetric relations (near), items: 1",)


def test_symmetric_relations_are_names() -> None:
    assert len(SYMMETRIC) == 157
    assert {"near", "next to", "drinking from", "sleeping in", "wrapped in", "adjusting"} <= SYMMETRIC
    assert not {"on", "behind", "to the left of", "to the right of", "riding", ""} & SYMMETRIC


def test_attributes_need_25_cases(write: Callable[[str, Any], Path]) -> None:
    item = {"image_path": "a.jpg", **BOX, "true_caption": "the big dog", "false_caption": "the small dog"}
    rows = [item | {"attributes": ["big", "small"]}] * 25 + [item | {"attributes": ["small", "big"]}] * 24
    found = choices(write("visual_genome_attribution.json", rows))
    assert Counter(i.group for i in found.items) == {"big, small": 25}
    assert found.left_out == ("pairs of attributes with fewer than 25 cases (pairs: 1), items: 24",)


def test_winoground(write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    published_as(monkeypatch, "winoground", items=4)
    write("data/examples.jsonl", WINOGROUND)
    found = choices("winoground", write("other.json", {}).parent)
    assert found.items[3] == Pair(
        (Photo("ex_3_img_0.png"), Photo("ex_3_img_1.png")),
        ("some plants surrounding a lightbulb", "a lightbulb surrounding some plants"),
        split="Object",
        group="Noun Phrase",
    )


def test_vsr(write: Callable[[str, Any], Path]) -> None:
    found = choices("vsr", write("test.jsonl", VSR))
    assert found.items[1] == Statement(Photo("1.jpg"), "The cat is on the mat.", True, group="on")
    assert [item.true for item in found.items if isinstance(item, Statement)] == [False, True, False, True]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_choices_of_ones_own(suffix: str, write: Callable[[str, Any], Path]) -> None:
    rows = [
        {"image": "ä/1.jpg", "true": "un chien 🐕", "false": ["un chat", "犬"], "split": "fr", "group": "animals"},
        {"image": "2.jpg", "true": "a dog", "false": ["a cat"], "split": None, "group": None},
    ]
    found = choices(write(f"mine.{suffix}", rows))
    assert found == Choices(
        f"mine.{suffix}",
        (
            Choice(Photo("ä/1.jpg"), ("un chien 🐕", "un chat", "犬"), "fr", "animals"),
            Choice(Photo("2.jpg"), ("a dog", "a cat")),
        ),
    )


def test_one_false_text_may_stand_alone(write: Callable[[str, Any], Path]) -> None:
    found = choices(write("mine.jsonl", [{"image": "2.jpg", "true": "a dog", "false": "a cat"}]))
    assert found.items[0].texts == ("a dog", "a cat")


# SugarCrepe as it was published.


def test_sugarcrepe_has_7511_items(shared: Path) -> None:
    found = choices("sugarcrepe", shared / "data" / "sugarcrepe")
    assert Counter(item.split for item in found.items) == PUBLISHED["sugarcrepe"].editions[0]
    assert len(found.items) == 7511
    assert found.part == ""
    assert found.items[0] == Choice(
        Photo("000000085329.jpg"),
        (
            "A drawing of a young woman with many facial piercings.",
            "A drawing of a tattooed young woman with many facial piercings.",
        ),
        split="add_att",
    )


def test_sugarcrepe_on_the_photos_that_are_there(shared: Path) -> None:
    photos = PhotoFolder(shared / "data" / "coco200" / "images")
    found = available(choices("sugarcrepe", shared / "data" / "sugarcrepe"), photos.__contains__)
    assert isinstance(found, Choices)
    assert found.part == "296 of 7,511 items, those whose photos are there"
    by_path = choices(shared / "data" / "sugarcrepe" / "on_coco200.json")
    assert by_path.items == found.items
    with pytest.raises(UnreadableFile, match=r"296 items where 7,511 are published"):
        load("sugarcrepe", shared / "data" / "sugarcrepe" / "on_coco200.json")


def test_one_split_of_sugarcrepe_is_checked_by_itself(shared: Path, tmp_path: Path) -> None:
    whole = shared / "data" / "sugarcrepe" / "swap_obj.json"
    assert choices("sugarcrepe", whole).part == "245 of 7,511 items, the split swap_obj"
    items = json.loads(whole.read_text(encoding="utf-8"))
    half = tmp_path / "swap_obj.json"
    half.write_text(json.dumps(dict(list(items.items())[:122])), encoding="utf-8")
    with pytest.raises(UnreadableFile, match="122 swap_obj where 245 are published") as caught:
        load("sugarcrepe", half)
    assert "\n" not in str(caught.value)


def test_a_split_that_is_missing_is_named(shared: Path, tmp_path: Path) -> None:
    for split in PUBLISHED["sugarcrepe"].files[1:]:
        (tmp_path / split).write_bytes((shared / "data" / "sugarcrepe" / split).read_bytes())
    with pytest.raises(UsageError, match=r"^add_att\.json is not in .*; put there add_att\.json, add_obj\.json"):
        load("sugarcrepe", tmp_path)


# What is wrong with files.


@pytest.mark.parametrize(
    ("name", "file", "data"),
    [
        ("coco", "dataset_coco.json", KARPATHY),
        ("coco-order", "coco_karpathy_test.json", LISTS),
        ("flickr30k", "flickr30k_test.json", LISTS),
        ("vg-relation", "visual_genome_relation.json", RELATIONS),
        ("winoground", "examples.jsonl", WINOGROUND),
        ("vsr", "test.jsonl", VSR),
    ],
)
def test_a_file_cut_in_half_is_told_with_its_place(
    name: str, file: str, data: Any, write: Callable[[str, Any], Path]
) -> None:
    path = write(file, data)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 7])
    with pytest.raises(UnreadableFile, match=r"no valid JSON at .*column [\d,]+ .*cut short or damaged") as caught:
        load(name, path)
    assert file in str(caught.value)
    assert ("line 3" if path.suffix == ".jsonl" else "line 1,") in str(caught.value)


def test_a_parquet_file_cut_in_half(write: Callable[[str, Any], Path]) -> None:
    path = write("mine.parquet", [{"image": f"{n}.jpg", "true": "a", "false": "b"} for n in range(1000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFile, match=r"no valid Parquet .*cut short or damaged"):
        load(str(path))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("coco", LISTS, "2 photos where 5,000 are published, 3 captions where 25,010 are published"),
        ("flickr30k-order", LISTS, "2 photos where 1,000 are published, 3 captions where 5,000 are published"),
        ("vg-relation", RELATIONS, "4 items where 23,937 are published"),
        ("winoground", WINOGROUND, "4 items where 400 are published"),
        ("coco", RELATIONS, "its records are those of vg-relation, not of coco"),
        ("vsr", LISTS, "its records are those of captions, not of vsr"),
    ],
)
def test_counts_and_formats_are_checked_for_names(
    name: str, data: Any, message: str, write: Callable[[str, Any], Path]
) -> None:
    path = write("some.json", data)
    with pytest.raises(UnreadableFile) as caught:
        load(name, path)
    assert message in str(caught.value)
    load(str(path))


def test_a_line_that_is_lost_is_missed(write: Callable[[str, Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    published_as(monkeypatch, "winoground", items=4)
    assert len(choices("winoground", write("examples.jsonl", WINOGROUND)).items) == 4
    with pytest.raises(UnreadableFile, match="3 items where 4 are published"):
        load("winoground", write("examples.jsonl", WINOGROUND[:3]))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a.json", "[]", "it holds no entries"),
        ("a.jsonl", "\n\n", "it holds no entries"),
        ("a.json", '"text"', "expected a list or an object"),
        ("a.json", "[1]", "item 1 is not an object"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", '{"image": "1.jpg"}', "line 1 has 'image'; expected 'image' and 'captions'"),
        ("a.jsonl", "{}", "line 1 has nothing; expected"),
        ("a.jsonl", '{"image": "1.jpg", "true": "a", "false": []}', "line 1: 'false' is an empty list"),
        ("a.jsonl", '{"image": "1.jpg", "true": ["a"], "false": "b"}', "line 1: 'true' is not a text"),
        ("a.jsonl", '{"image": "1.jpg", "true": "a", "false": [1]}', "'false' is neither a text nor a list of texts"),
        ("a.jsonl", '{"image": " ", "true": "a", "false": "b"}', "line 1: 'image' is empty"),
        ("a.jsonl", '{"image": "1", "true": "a", "false": "b"}\n{"image": "2", "true": "a"}', "line 2: there is no"),
        ("a.jsonl", '{"image": "1", "caption": "a", "label": 2}', "line 1: 'label' is neither 0 nor 1"),
        ("a.jsonl", '{"image": "1", "caption": "a", "label": 1}\n{"image": "1", "caption": "a"}', "line 2: 'label' is"),
        ("a.jsonl", '{"image": "1", "true": "a \\ud83d", "false": "b"}', "line 1: 'true' holds half a character"),
        ("a.jsonl", '{"image": "1", "true": "a", "false": ["\\udc00"]}', "line 1: 'false' holds half a character"),
        ("a.json", '{"images": [{"filename": "1.jpg"}]}', "image 1: there are no 'sentences'"),
        ("a.json", '{"images": [], "annotations": 3}', "'annotations' is not a list"),
        ("a.json", '{"images": [{"id": NaN, "file_name": "a"}], "annotations": []}', "'id' is not a whole number"),
        ("a.json", json.dumps([RELATIONS[0] | {"bbox_w": 0}]), "item 1: the box is 0 × 40 pixels"),
        ("a.json", json.dumps([RELATIONS[0] | {"bbox_x": "1"}]), "item 1: 'bbox_x' is not a whole number"),
        ("a.csv", "image,true,false", "expected a .json, .jsonl or .parquet file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableFile) as caught:
        load(str(tmp_path / file))
    assert message in str(caught.value)
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"image": "1", "true": "a", "false": "b"}\n{"image": "\xff')
    with pytest.raises(UnreadableFile, match="line 2: byte 12 is not UTF-8"):
        load(str(tmp_path / "a.jsonl"))


# What is not there.


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_to_put_where_is_said(name: str, tmp_path: Path) -> None:
    known = PUBLISHED[name]
    for data in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError) as caught:
            load(name, data)
        assert known.files[0] in str(caught.value)
        assert known.source in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="--images DIR with "):
        load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sugarcrape", r"no dataset and no file is called 'sugarcrape'; did you mean sugarcrepe\?"),
        ("COCO", r"did you mean coco"),
        ("zzzz", r"there are coco, flickr30k, .*vsr, and files by path"),
    ],
)
def test_nearest_names_are_offered(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(name)


def test_a_folder_or_data_beside_a_path_are_refused(write: Callable[[str, Any], Path]) -> None:
    path = write("mine.json", LISTS)
    with pytest.raises(UsageError, match="is a folder: give a file, or a dataset's name"):
        load(str(path.parent))
    with pytest.raises(UsageError, match="--data goes with a dataset's name"):
        load(str(path), path)


def test_what_has_its_photos_is_available(write: Callable[[str, Any], Path]) -> None:
    found = captioned(str(write("mine.json", [{"image": "a.jpg", "caption": ["x", "y"]}, *LISTS])))
    kept = available(found, {"b.jpg", "a.jpg"}.__contains__)
    assert isinstance(kept, Captioned)
    assert kept.photos == ("a.jpg", "b.jpg")
    assert kept.texts == ("x", "y", "Two cats")
    assert kept.owner.tolist() == [0, 0, 1]
    assert kept.part == "2 of 3 photos, those that are there"
    assert available(found, lambda _: True).part == ""
    with pytest.raises(UsageError, match=r"none of the photos of mine\.json is there"):
        available(found, lambda _: False)


def test_a_pair_needs_both_its_photos(write: Callable[[str, Any], Path]) -> None:
    found = choices(write("mine.jsonl", WINOGROUND))
    there = {"ex_1_img_0.png", "ex_1_img_1.png", "ex_2_img_0.png"}
    kept = available(found, there.__contains__)
    assert photo_names(kept) == ("ex_1_img_0.png", "ex_1_img_1.png")
    assert kept.part == "1 of 4 items, those whose photos are there"
    with pytest.raises(UsageError, match=r"no item of mine\.jsonl has all its photos"):
        available(found, {"ex_2_img_0.png"}.__contains__)


def test_missing_photos_are_one_error() -> None:
    found = choices_of(Choice(Photo(f"{n}.jpg"), ("a", "b")) for n in range(1200))
    require(found, lambda _: True)
    message = r"1,199 of 1,200 photos of some are not there, such as 0\.jpg, 1\.jpg, 2\.jpg; .*--images.*--available"
    with pytest.raises(UsageError, match=message):
        require(found, {"7.jpg"}.__contains__)


def test_photos_are_found_as_archives_are_unpacked(tmp_path: Path) -> None:
    for name in ("top.jpg", "val2017/000000000042.jpg", "a/same.jpg", "b/same.jpg", "deep/er/far.jpg", "ü/é.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = PhotoFolder(tmp_path)
    for name, file in {
        "top.jpg": "top.jpg",
        "images/top.jpg": "top.jpg",
        "000000000042.jpg": "val2017/000000000042.jpg",
        "val2014/COCO_val2014_000000000042.jpg": "val2017/000000000042.jpg",
        "a/same.jpg": "a/same.jpg",
        "deep/er/far.jpg": "deep/er/far.jpg",
        "é.png": "ü/é.png",
    }.items():
        assert folder.find(name) == tmp_path / file
    assert folder.find("far.jpg") is None
    assert "gone.jpg" not in folder
    with pytest.raises(UsageError, match=r"same\.jpg may be '.*a/same\.jpg' or '.*b/same\.jpg'"):
        folder.find("same.jpg")
    with pytest.raises(UsageError, match=r"no folder .*; --images names"):
        PhotoFolder(tmp_path / "nowhere")


def test_a_photo_has_one_key_under_all_its_names() -> None:
    assert photo_key("/photos/val2014/COCO_val2014_000000000042.jpg") == photo_key("000000000042.jpg")
    assert photo_key("COCO_val2014_notes.jpg") == "COCO_val2014_notes.jpg"


# Task B.


def test_an_item_for_each_caption_and_seed() -> None:
    texts = ("A dog chasing a red ball on the wet grass .", "dog", "Two small birds sitting on a high wire")
    found = order(Captioned("coco-order", ("a.jpg", "b.jpg"), texts, np.array([1, 0, 0]), task="order"), seeds=3)
    assert (found.name, found.task, found.seeds, found.unperturbable) == ("coco-order", "coco-order", 3, 1)
    assert [(item.seed, item.photos[0].path) for item in found.items] == [
        *((seed, "b.jpg") for seed in range(3)),
        *((seed, "a.jpg") for seed in range(3)),
    ]
    for item in found.items:
        assert len(item.texts) == 5
        assert len({tuple(sorted(text.lower().split())) for text in item.texts}) == 1, "the same words in every text"
        assert item.texts[0] not in item.texts[1:]
    assert found.items[0].texts[0] == "A dog chasing a red ball on the wet grass."
    assert found.items[0].texts != found.items[1].texts


def test_order_is_the_task_of_captions_that_are_no_benchmark() -> None:
    library = Captioned("library", ("a.jpg",), ("a dog on a red mat in the sun",), np.array([0]), part="some")
    found = order(library)
    assert (found.name, found.task, found.part) == ("library", "order", "some")


def test_order_without_captions_or_seeds_is_refused() -> None:
    with pytest.raises(UsageError, match="library has no captions"):
        order(Captioned("library", ("a.jpg",), (), np.array([], np.int64)))
    with pytest.raises(UsageError, match="at least one seed"):
        order(Captioned("library", ("a.jpg",), ("a b c",), np.array([0])), seeds=0)
