from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ColourEncoder, Done
from vlsearch.library import open_library

Cli = Callable[..., Done]
Photos = Callable[..., Path]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("# kinds\ndog\ncat\nred car\n")
    return file


@pytest.fixture
def folder(cli: Cli, photos: Photos) -> Path:
    """12 photos in two folders that the library has."""
    made = photos(8)
    photos(4, "photos/cat", seed=1)
    assert cli("ingest", made, "--model", "colour").code == 0
    return made


def expected(
    library: Path, encoder: ColourEncoder, template: str = "a photo of a {}"
) -> dict[str, np.ndarray[Any, Any]]:
    """path -> softmax over dog, cat, red car."""
    classes = encoder.embed_texts([template.format(label) for label in ("dog", "cat", "red car")])
    with open_library(library) as opened:
        vectors = opened.photo_vectors(opened.model())
    odds = {path: np.exp(encoder.logit_scale * (classes @ xb)) for path, xb in vectors.items()}
    return {path: each / each.sum() for path, each in odds.items()}


@pytest.mark.usefixtures("folder")
def test_lines_for_a_pipe(cli: Cli, labels: Path, tmp_path: Path, encoder: ColourEncoder) -> None:
    done = cli("tag", "--labels", labels)
    assert (done.code, done.err) == (0, "")
    told = expected(tmp_path / "library", encoder)
    lines = [line.split("\t") for line in done.text.splitlines()]
    assert [line[0] for line in lines] == sorted(told)
    for path, label, probability in lines:
        assert label == ("dog", "cat", "red car")[int(told[path].argmax())]
        assert float(probability) == pytest.approx(told[path].max(), abs=1e-3)


@pytest.mark.usefixtures("folder")
def test_json_and_more_than_one_label(cli: Cli, labels: Path) -> None:
    rows = cli("tag", "--labels", labels, "--json", "-k", "2").rows
    assert len(rows) == 24
    assert set(rows[0]) == {"path", "id", "label", "probability"}
    assert rows[0]["path"] == rows[1]["path"]
    assert rows[0]["probability"] >= rows[1]["probability"]
    some = cli("tag", "--labels", labels, "--json", "-k", "3", "--min-probability", "0.34").rows
    assert 0 < len(some) < 36
    assert min(row["probability"] for row in some) >= 0.34


@pytest.mark.usefixtures("folder")
def test_each_label_for_itself(cli: Cli, labels: Path, tmp_path: Path) -> None:
    all_ = cli("tag", "--labels", labels, "--multi", "--min-probability", "0", "--json").rows
    assert len(all_) == 36
    (tmp_path / "one.txt").write_text("cat\n")
    alone = cli("tag", "--labels", tmp_path / "one.txt", "--multi", "--min-probability", "0", "--json").rows
    cats = [row["probability"] for row in all_ if row["label"] == "cat"]
    assert [row["probability"] for row in alone] == pytest.approx(cats, abs=1e-5)
    assert cli("tag", "--labels", labels, "--multi").out == b""


def test_filters(cli: Cli, labels: Path, folder: Path) -> None:
    rows = cli("tag", "--labels", labels, "--under", folder / "cat", "--json").rows
    assert [Path(row["path"]).parent.name for row in rows] == ["cat"] * 4


@pytest.mark.usefixtures("folder")
def test_descriptions_and_the_labels_that_lack_them(cli: Cli, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"Dog": ["It barks."], "red_car": ["It has four wheels."]}))
    done = cli("tag", "--labels", labels, "--descriptions", tmp_path / "d.json")
    assert done.err == "vlsearch: 1 labels have no description and take the template: cat\n"
    plain = cli("tag", "--labels", labels)
    assert done.code == 0
    assert done.out != plain.out
    assert cli("tag", "--labels", labels, "--prompts", "plain").out != plain.out


def test_store_list_filter_and_clear(cli: Cli, labels: Path, folder: Path) -> None:
    told = cli("tag", "--labels", labels, "--json").rows
    done = cli("tag", "--labels", labels, "--store")
    assert (done.code, done.text) == (0, "12 tags of 12 photos stored, 0 former ones taken out\n")
    counts = {label: sum(row["label"] == label for row in told) for label in sorted({row["label"] for row in told})}
    assert cli("tag", "--list").text == "".join(f"{n}\t{label}\tcolour\n" for label, n in counts.items())
    first = next(iter(counts))
    assert cli("tag", "--list", "--json").rows[0] == {"name": first, "model": "colour", "photos": counts[first]}
    found = cli("query", "x", "--tag", first, "-k", "50", "--paths").text.splitlines()
    assert sorted(found) == sorted(row["path"] for row in told if row["label"] == first)
    again = cli("tag", "--labels", labels, "--store", "--under", folder / "cat", "--min-probability", "1", "--json")
    assert again.rows == [{"photos": 4, "tags": 0, "replaced": 4}]
    assert sum(row["photos"] for row in cli("tag", "--list", "--json").rows) == 8
    assert (
        cli("tag", "--clear", "cow").err == "vlsearch: no photo has the tag 'cow'; `vlsearch tag --list` lists them\n"
    )
    assert cli("tag", "--clear", "").code == 2
    left = cli("tag", "--list", "--json").rows
    assert cli("tag", "--clear", left[0]["name"], "--json").rows == [{"cleared": left[0]["photos"]}]
    assert cli("tag", "--clear").text == f"{8 - left[0]['photos']} tags deleted\n"
    done = cli("tag", "--list")
    assert (done.out, done.err) == (
        b"",
        "vlsearch: no photo has a tag; `vlsearch tag --labels FILE --store` gives them\n",
    )


def test_evaluate_folders(cli: Cli, labels: Path, folder: Path) -> None:
    done = cli("tag", "--labels", labels, "--evaluate", "folders", "--json")
    (found,) = done.rows
    assert (found["photos"], found["unknown_labels"]) == (4, {"photos": 8})
    assert done.err == "vlsearch: left out: 8 photos of labels that --labels does not have: photos\n"
    assert [row["prompts"] for row in found["prompts"]] == ["bare name", "clip7", "a photo of a {}"]
    right = [row["label"] == "cat" for row in cli("tag", "--labels", labels, "--under", folder / "cat", "--json").rows]
    assert found["prompts"][-1]["top1"] == sum(right) / 4
    assert (np.sum(found["matrix"]), found["matrix"][1][1]) == (4, sum(right))
    lines = cli("tag", "--labels", labels, "--evaluate", "folders").text.splitlines()
    assert lines[0].split("\t")[:2] == ["bare name", "3"]


def test_evaluate_a_file(cli: Cli, labels: Path, tmp_path: Path) -> None:
    made = tmp_path / "photos"
    from PIL import Image

    made.mkdir()
    for n in range(3):
        Image.new("RGB", (20, 20), (80 * n, 10, 200)).save(made / f"{n}.png")
    cli("ingest", made, "--model", "colour")
    (tmp_path / "truth.csv").write_text("path,label\n0.png,dog\n1.png,cow\nnone.png,cat\n")
    done = cli("tag", "--labels", labels, "--evaluate", tmp_path / "truth.csv", "--json")
    assert done.rows[0]["photos"] == 1
    assert done.err.splitlines() == [
        "vlsearch: left out: 1 photos have no known label",
        "vlsearch: left out: 1 photos of the file are not in the library, or several have that name",
        "vlsearch: left out: 1 photos of labels that --labels does not have: cow",
    ]


@pytest.mark.usefixtures("folder")
def test_a_table_on_a_terminal(cli: Cli, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    lines = cli("tag", "--labels", labels).text.splitlines()
    assert len(lines) == 12
    assert lines[0].split()[-1].endswith("00000.jpg")
    shown = cli("tag", "--labels", labels, "--evaluate", "folders").text
    assert "gain over bare" in shown
    assert "4 photos, 3 labels (chance 33.3 %)" in shown


WITH_LIBRARY = [
    (("--labels", "labels.txt", "--evaluate", "none.csv"), "no such file: 'none.csv'"),
    (("--labels", "other.txt", "--evaluate", "folders"), "no photo has one of these labels, but labels such as"),
    (("--labels", "labels.txt", "--model", "other"), "no vectors of model other"),
]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), ""),
        (("--json",), "give one of --labels FILE, --list and --clear"),
        (("--list", "--clear"), "give one of"),
        (("--list", "--under", "/"), "they go without filters"),
        (("--labels", "labels.txt", "--store", "--evaluate", "folders"), "give one of them"),
        (("--labels", "labels.txt", "--evaluate", "folders", "-k", "2"), "it goes without --multi, -k"),
        (("--labels", "one.txt"), "of them, or --multi"),
        (("--labels", "twice.txt"), "is the same label as line 1"),
        (("--labels", "none.txt"), "no such file: 'none.txt'"),
        (("--labels", "labels.txt", "--descriptions", "none.json"), "none.json"),
        (("--labels", "labels.txt", "--prompts", "none"), "none"),
        (("--labels", "labels.txt", "--min-probability", "1.5"), "min-probability"),
    ],
)
def test_wrong_usage_is_one_line(
    cli: Cli, labels: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(labels.parent)
    Path("one.txt").write_text("dog\n")
    Path("twice.txt").write_text("dog\nDOG\n")
    done = cli("tag", *args)
    assert done.code == 2
    assert says in (done.err if args else done.text + done.err)
    assert not args or len(done.err.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_a_library_that_does_not_have_it(cli: Cli, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(labels.parent)
    Path("other.txt").write_text("cow\nhen\n")
    for args, says in WITH_LIBRARY:
        done = cli("tag", *args)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert says in done.err


def test_photos_without_a_vector_of_the_model(cli: Cli, labels: Path, folder: Path, photos: Photos) -> None:
    cli("ingest", photos(2, "more", seed=5), "--model", "second")
    done = cli("tag", "--labels", labels)
    assert done.err == "vlsearch: 2 photos have no vector of colour; `vlsearch ingest --model colour` adds them\n"
    assert len(done.text.splitlines()) == 12
    done = cli("tag", "--labels", labels, "--under", folder / "nowhere")
    assert (done.code, done.out) == (0, b"")
    assert "no photo to tell labels of" in done.err
