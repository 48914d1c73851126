"""audit, as a command: whole audits, and everything that goes wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import CAPTIONS
from tests.conftest import ColourEncoder, Done
from vlsearch.audit.asked import Asked
from vlsearch.audit.report.schema import schema
from vlsearch.audit.runs import runs
from vlsearch.library import open_library

Cli = Callable[..., Done]
Photos = Callable[..., Path]
Records = Callable[..., Path]
GERMAN = ["ein Hund jagt einen roten Ball", "zwei Katzen auf einem Sofa", "ein Boot auf dem Meer"]


def refused(done: Done, *told: str, code: int = 2) -> None:
    """One line on stderr, nothing else."""
    assert (done.code, done.out) == (code, b""), done.err
    assert done.err.startswith("vlsearch: ")
    assert len(done.err.splitlines()) == 1
    for part in told:
        assert part in done.err


def kept() -> int:
    with open_library() as library:
        return len(runs(library))


def vectors_file(path: Path, keys: Sequence[str], vectors: np.ndarray[Any, Any]) -> Path:
    np.savez(path, key=np.array(keys), vector=vectors)
    return path


def drawn(keys: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(len(keys), 8)).astype(np.float32)


@pytest.mark.usefixtures("captioned")
def test_json(cli: Cli) -> None:
    done = cli("audit", "--perturb", "shuffle", "--perturb", "swap", "--seeds", 3, "-k", 1, "-k", 2, "--json")
    assert done.code == 0
    (report,) = done.rows
    jsonschema.validate(report, schema())
    assert {key: report[key] for key in ("model", "photos", "captions", "seeds")} == {
        "model": "colour",
        "photos": 6,
        "captions": 5,
        "seeds": 3,
    }
    seen = [(r["direction"], r["perturbation"], r["k"]) for r in report["results"]]
    names = [(p, k) for p in ("shuffle", "swap", "identity", "sort") for k in (1, 2)]
    assert seen == [(d, *name) for d in ("text_to_image", "image_to_text") for name in names]
    for r in report["results"]:
        assert r["drop"] == pytest.approx(r["clean"] - r["perturbed"])
    assert {r["unperturbable"] for r in report["results"] if r["perturbation"] == "shuffle"} == {1}


@pytest.mark.usefixtures("captioned")
def test_the_table_fits_a_terminal_of_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("audit", "--perturb", "shuffle", "--perturb", "swap")
    assert done.code == 0
    table = done.text.split("\n\n")[1].splitlines()
    assert len(table) == 1 + 2 * (1 + 4 * 3), "a line for each figure: nothing is folded"
    assert max(map(len, table)) <= 80
    assert "Captions that cannot change: shuffle 1, swap 1." in done.text


@pytest.mark.usefixtures("captioned")
def test_a_run_is_kept_in_the_library(cli: Cli) -> None:
    (report,) = cli("audit", "--json").rows
    with open_library() as library:
        (run,) = runs(library)
        assert run.row.report == report
        assert run.asked == Asked()
        assert run.row.source == {"name": "colour"}
        assert len(run.rows()) == 2 * 5 * (5 + 1 + 1), "both directions, five seeds and two controls"
    assert cli("info", "--json").rows[0]["audits"] == 1


def test_missing_photos_are_out_of_the_audit(cli: Cli, captioned: Path) -> None:
    (captioned / "00000.jpg").unlink()
    cli("ingest", captioned)
    (report,) = cli("audit", "--json").rows
    assert (report["photos"], report["captions"]) == (5, 4)


@pytest.mark.usefixtures("captioned")
def test_an_audit_beside_a_writer_is_shown_and_not_kept(cli: Cli) -> None:
    with open_library(write=True):
        done = cli("audit", "--json")
    assert done.code == 0
    assert len(done.rows) == 1
    assert "not kept in the library" in done.err


@pytest.mark.usefixtures("captioned")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--perturb", "shufle"], ["'shufle'", "shuffle"]),
        (["--dataset", "sugarcrape"], ["'sugarcrape'", "sugarcrepe"]),
        (["--fail-if", "t2i.R@1.dorp<2%"], ["dorp", "drop"]),
        (["--fail-if", "swop.t2i.R@1.drop<2%"], ["swop"]),
        (["--fail-if", "t2i.R@7.drop<2%"], ["R@7"]),
        (["--model", "vectors:nowhere.npz"], ["nowhere.npz"]),
        (["--model", "ViT-B-32/openai"], ["ViT-B-32/openai"]),
        (["--csv", "rows.txt"], ["rows.txt", ".csv"]),
        (["--report", "/dev/null"], ["/dev/null", "--report"]),
        (["--json", "--markdown"], ["--json", "--markdown"]),
        (["--queries", "q", "--query-log"], ["--queries", "--query-log"]),
        (["--queries", "nowhere.txt"], ["nowhere.txt"]),
        (["--query-log"], ["vlsearch log --on"]),
        (["--task", "order", "--perturb", "swap"], ["--perturb", "choices"]),
        (["--task", "order", "--save-captions", "c.parquet"], ["--save-captions"]),
        (["--captions-from", "nowhere.parquet"], ["nowhere.parquet"]),
        (["--weights", "w.safetensors"], ["--weights", "--model"]),
        (["--seeds", "0"], ["--seeds"]),
        (["--images", "photos"], ["--images", "--dataset"]),
        (["--available"], ["--available", "--dataset"]),
        (["--queries", "q", "--dataset", "coco"], ["--queries", "--dataset"]),
        (["lsit"], ["lsit"]),
        (["--perturb", "swap", "list"], ["--perturb", "behind"]),
    ],
)
def test_wrong_calls(cli: Cli, arguments: list[str], told: list[str]) -> None:
    refused(cli("audit", *arguments), *told)
    assert kept() == 0


def test_without_a_library(cli: Cli) -> None:
    refused(cli("audit"), "no library", "vlsearch ingest")


def test_without_captions_there_is_nothing_to_measure(cli: Cli, photos: Photos) -> None:
    cli("ingest", photos(3), "--model", "colour")
    refused(cli("audit"), "no captions; `vlsearch captions import FILE`")
    refused(cli("audit", "--task", "order"), "no captions")


@pytest.mark.parametrize("task", ["retrieval", "order"])
def test_captions_that_cannot_change(
    cli: Cli, photos: Photos, caption: Callable[[Sequence[str]], None], task: str
) -> None:
    """A retrieval is measured, and says that it shows nothing; a choice has nothing to choose between."""
    cli("ingest", photos(3), "--model", "colour")
    caption(["dog", "cat", "sea"])
    done = cli("audit", "--task", task)
    if task == "order":
        refused(done, "none of the 3 captions")
        return
    assert (done.code, done.err) == (0, "")
    assert "changes none of these captions, so nothing was measured" in " ".join(done.text.split())
    failing = cli("audit", "--fail-if", "t2i.R@1.drop>50%")
    assert failing.code == 3
    assert len(failing.err.splitlines()) == 1


def test_one_photo(cli: Cli, photos: Photos, caption: Callable[[Sequence[str]], None]) -> None:
    cli("ingest", photos(1), "--model", "colour")
    caption(["a dog by a cat"])
    refused(cli("audit"), "only one")


def test_captions_of_one_photo(cli: Cli, photos: Photos, caption: Callable[[Sequence[str]], None]) -> None:
    cli("ingest", photos(2), "--model", "colour")
    caption(["a dog by a cat"])
    refused(cli("audit"), "only one photo has captions")


def test_a_caption_of_two_photos_is_right_for_both(
    cli: Cli, photos: Photos, caption: Callable[[Sequence[str]], None]
) -> None:
    cli("ingest", photos(4), "--model", "colour")
    caption(["a dog by a cat", "a dog by a cat", "a red car", "a boat on the sea"])
    (report,) = cli("audit", "--json").rows
    assert (report["captions"], report["duplicates"]) == (4, 2)
    assert "Captions that stand with several photos: 2;" in cli("audit").text


def test_empty_captions_are_counted_and_left_out(cli: Cli, photos: Photos, records: Records) -> None:
    folder = photos(3)
    data = records(
        {"image": "00000.jpg", "captions": ["a dog by a cat", " "]},
        {"image": "00001.jpg", "captions": ["a red car", ""]},
        {"image": "00002.jpg", "captions": ["a boat on the sea"]},
    )
    call = ("audit", "--dataset", data, "--images", folder, "--model", "colour")
    (report,) = cli(*call, "--json").rows
    assert (report["captions"], report["empty"]) == (3, 2)
    assert "Captions without any word: 2, left out." in cli(*call).text
    assert cli("audit", "repeat", "last").code == 0
    data = records({"image": "00000.jpg", "captions": [""]}, {"image": "00001.jpg", "captions": [" "]})
    refused(cli(*call), "all captions are empty")


@pytest.mark.usefixtures("captioned")
def test_captions_beyond_the_context_are_counted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ColourEncoder, "is_cut", lambda _, texts: [len(t.split()) > 5 for t in texts], raising=False)
    (report,) = cli("audit", "--json").rows
    assert report["truncated"] == 2
    assert "Captions beyond the model's context: 2;" in cli("audit").text


def test_captions_that_are_not_english(cli: Cli, photos: Photos, caption: Callable[[Sequence[str]], None]) -> None:
    cli("ingest", photos(3), "--model", "colour")
    caption(GERMAN)
    refused(cli("audit", "--perturb", "swap-adjectives"), "3 of 3 captions do not look English", "--force")
    assert cli("audit", "--perturb", "shuffle").code == 0
    (report,) = cli("audit", "--perturb", "swap-adjectives", "--force", "--json").rows
    assert report["not_english"] == 3


@pytest.mark.usefixtures("captioned")
def test_a_file_of_vectors_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    with open_library() as library:
        from vlsearch.audit.subject import captions_of

        names = list(captions_of(library)[0].photos)
    texts = cli("audit", "--export-texts", tmp_path / "t.txt")
    assert texts.code == 0
    keys = [*names, *(tmp_path / "t.txt").read_text().splitlines()]
    good = drawn(keys)
    path = tmp_path / "v.npz"

    def audit(keys: Sequence[str], vectors: np.ndarray[Any, Any]) -> Done:
        return cli("audit", "--model", f"vectors:{vectors_file(path, keys, vectors)}", "--json")

    assert audit(keys, good).rows[0]["model"] == "vectors:v.npz"
    spoilt = good.copy()
    spoilt[3, 2] = np.nan
    refused(audit(keys, spoilt), "no numbers", code=1)
    refused(audit([*keys, keys[0]], np.vstack([good, good[1]])), "two different vectors", code=1)
    refused(audit(keys[:-2], good[:-2]), "2 of", "have no vector")
    refused(audit(keys[1:], good[1:]), "1 of 6 photos have no vector")
    (tmp_path / "w.jsonl").write_text("".join(json.dumps(key) + "\n" for key in keys))
    np.save(tmp_path / "w.npy", good[:-1])
    done = cli("audit", "--model", f"vectors:{tmp_path / 'w.npy'}")
    assert done.code in (1, 2)
    refused(done, "w.npy", code=done.code)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(cli("audit", "--model", f"vectors:{path}"), "v.npz", code=1)
    assert kept() == 1


def test_a_dataset_cut_in_half(cli: Cli, photos: Photos, records: Records) -> None:
    folder = photos(4)
    rows = [{"image": f"{n:05d}.jpg", "true": "a dog by a cat", "false": "a cat by a dog"} for n in range(4)]
    data = records(*rows)
    data.write_bytes(data.read_bytes()[:-20])
    refused(cli("audit", "--dataset", data, "--images", folder, "--model", "colour"), "own.jsonl", "line 4", code=1)
    whole = json.dumps(rows)
    data.with_suffix(".json").write_text(whole[: len(whole) // 2])
    done = cli("audit", "--dataset", data.with_suffix(".json"), "--images", folder, "--model", "colour")
    refused(done, "own.json", code=1)


def test_a_folder_of_a_datasets_name(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coco").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(cli("audit", "--dataset", "coco", "--model", "colour"), "coco needs its files")
    refused(cli("audit", "--dataset", "coco", "--data", "coco", "--model", "colour"), "no file of coco is in")


def test_a_choice_is_one_already(cli: Cli, photos: Photos, records: Records) -> None:
    data = records({"image": "00000.jpg", "true": "a dog by a cat", "false": "a cat by a dog"})
    done = cli("audit", "--dataset", data, "--images", photos(1), "--model", "colour", "--task", "order")
    refused(done, "own.jsonl is a choice as it is; leave out --task order")


def test_photos_of_a_dataset_that_are_not_there(cli: Cli, photos: Photos, records: Records) -> None:
    folder = photos(4)
    rows = [{"image": f"{n:05d}.jpg", "true": "a dog by a cat", "false": "a cat by a dog"} for n in range(6)]
    call = ("audit", "--dataset", records(*rows), "--images", folder, "--model", "colour")
    refused(cli(*call), "2 of 6 photos", "--available")
    refused(cli(*call[:4], folder / "none", *call[5:]), "no folder")
    (report,) = cli(*call, "--available", "--json").rows
    assert report["items"] == 4
    assert report["part"].startswith("4 of 6 items")


def test_a_photo_that_cannot_be_read(cli: Cli, photos: Photos, records: Records) -> None:
    folder = photos(4)
    (folder / "00002.jpg").write_bytes(b"no photo")
    rows = [{"image": f"{n:05d}.jpg", "captions": ["a dog by a cat"]} for n in range(4)]
    refused(cli("audit", "--dataset", records(*rows), "--images", folder, "--model", "colour"), "00002.jpg", code=1)


def test_what_is_no_character(cli: Cli, photos: Photos, records: Records) -> None:
    folder = photos(3)
    rows = [{"image": f"{n:05d}.jpg", "captions": [f"a dog \ud800 by {n} cats"]} for n in range(3)]
    done = cli("audit", "--dataset", records(*rows), "--images", folder, "--model", "colour")
    refused(done, "own.jsonl", "half a character", code=1)


@pytest.mark.parametrize("option", ["--report", "--csv", "--parquet", "--save-captions"])
@pytest.mark.usefixtures("captioned")
def test_disk_full_while_a_file_is_written(
    cli: Cli, tmp_path: Path, full_below: Callable[[Path], None], option: str
) -> None:
    """The run is kept and shown all the same, so that the file can be written elsewhere."""
    place = tmp_path / "full" / {"--csv": "rows.csv"}.get(option, "rows.parquet")
    full_below(tmp_path / "full")
    done = cli("audit", option, place, "--json")
    assert done.code == 2
    assert done.err.startswith(f"vlsearch: cannot write '{tmp_path / 'full'}")
    assert "no space left on device" in done.err
    assert len(done.err.splitlines()) == 1
    jsonschema.validate(done.rows[0], schema())
    assert not list(tmp_path.glob("full/**/*.p*"))
    elsewhere = tmp_path / place.name
    if option != "--report":
        assert cli("audit", "export", "last", option, elsewhere).code == 0
        assert elsewhere.stat().st_size > 0


@pytest.mark.usefixtures("captioned")
def test_disk_full_while_a_run_is_kept(
    cli: Cli, tmp_path: Path, full_below: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = cli("audit", "--json")
    full_below(tmp_path / "library")
    done = cli("audit", "--perturb", "reverse", "--json")
    assert done.code == 0
    jsonschema.validate(done.rows[0], schema())
    assert [record.message.split(": ")[0] for record in caplog.records] == [
        f"cannot write to {next((tmp_path / 'library' / 'audits' / 'cache').iterdir())}"
    ]
    assert "this audit is not kept in the library: cannot write to" in done.err
    assert len(done.err.splitlines()) == 1
    assert kept() == 1
    assert cli("audit", "show", "last", "--json").rows == first.rows
    assert cli("verify").code == 0


@pytest.mark.usefixtures("captioned")
def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: ColourEncoder, _texts: Sequence[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ColourEncoder, "embed_texts", interrupted)
    done = cli("audit")
    assert (done.code, done.out) == (130, b"")
    assert len(done.err.strip().splitlines()) == 1
    assert kept() == 0


@pytest.mark.usefixtures("captioned")
def test_two_models(cli: Cli, captioned: Path, tmp_path: Path) -> None:
    cli("ingest", captioned, "--model", "other/one")
    both = ("--model", "colour", "--model", "other/one")
    done = cli("audit", *both, "--json", "--report", tmp_path / "r", "--csv", tmp_path / "rows.csv")
    assert (done.code, done.err) == (0, "")
    a, b, difference = done.rows
    assert (a["model"], b["model"], difference["a"], difference["b"]) == ("colour", "other/one", "colour", "other/one")
    for told in done.rows:
        jsonschema.validate(told, schema())
    assert kept() == 2
    assert sorted(path.parent.name for path in tmp_path.glob("r/*/index.html")) == ["colour", "other_one"]
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["rows-colour.csv", "rows-other_one.csv"]
    told = cli("audit", *both)
    assert "colour" in told.text
    assert "A is colour, B is other/one" in told.text
    failing = cli("audit", *both, "--fail-if", "t2i.R@1.clean<=100%")
    assert failing.code == 3
    assert [line.split(": ")[1] for line in failing.err.splitlines()] == ["colour", "other/one"]
    refused(cli("audit", "--model", "colour", "--model", "nothing"), "nothing")


@pytest.mark.usefixtures("captioned")
def test_files_of_one_name_do_not_overwrite_one_another(cli: Cli, tmp_path: Path) -> None:
    with open_library() as library:
        from vlsearch.audit.subject import captions_of

        names = list(captions_of(library)[0].photos)
    cli("audit", "--export-texts", tmp_path / "t.txt")
    keys = [*names, *(tmp_path / "t.txt").read_text().splitlines()]
    models: list[str] = []
    for n, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        models += ["--model", f"vectors:{vectors_file(tmp_path / folder / 'v.npz', keys, drawn(keys) + n)}"]
    done = cli("audit", *models, "--json", "--csv", tmp_path / "rows.csv")
    assert (done.code, done.err) == (0, "")
    assert len(list(tmp_path.glob("rows-*.csv"))) == 2
    assert done.rows[2]["a"] != done.rows[2]["b"]


@pytest.mark.usefixtures("captioned")
def test_the_model_of_the_environment(cli: Cli, captioned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("ingest", captioned, "--model", "other")
    monkeypatch.setenv("VLSEARCH_MODEL", "other")
    assert cli("audit", "--json").rows[0]["model"] == "other"


@pytest.mark.usefixtures("captioned")
def test_through_an_index_that_is_exact_nothing_is_lost(cli: Cli, records: Records, photos: Photos) -> None:
    (report,) = cli("audit", "--through-index", "--json").rows
    assert [(row["k"], row["loss"]) for row in report["index"]] == [(1, 0), (5, 0), (10, 0)]
    assert "it loses 0.0 points" in cli("audit", "--through-index").text
    rows = [{"image": f"{n:05d}.jpg", "captions": [text]} for n, text in enumerate(CAPTIONS)]
    call = ("audit", "--dataset", records(*rows), "--images", photos(6), "--model", "colour", "--through-index")
    refused(cli(*call), "--through-index is for a library's own photos")


def test_a_part_of_a_dataset_is_said_in_every_output(
    cli: Cli, photos: Photos, records: Records, tmp_path: Path
) -> None:
    folder = photos(4)
    rows = [{"image": f"{n:05d}.jpg", "captions": [f"a dog by {n} cats"]} for n in range(6)]
    call = ("audit", "--dataset", records(*rows), "--images", folder, "--available", "--model", "colour")
    told = "4 of 6 photos, those that are there"
    done = cli(*call, "--json", "--report", tmp_path / "r", "--parquet", tmp_path / "rows.parquet")
    assert done.rows[0]["part"] == told
    assert told in (tmp_path / "r" / "index.html").read_text()
    assert told in pq.read_schema(tmp_path / "rows.parquet").metadata[b"part"].decode()
    assert told in cli(*call).text
    assert told in cli(*call, "--markdown").text


@pytest.mark.usefixtures("captioned")
@pytest.mark.parametrize("names", [("shuffle", "swap"), ("reverse",), ("sort", "shuffle-rows-4"), ("identity",)])
def test_saved_captions_are_replayed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    saved = tmp_path / "captions.parquet"
    options = [option for name in names for option in ("--perturb", name)]
    first = cli("audit", *options, "--seeds", 3, "--save-captions", saved, "--json")
    assert first.code == 0
    monkeypatch.setattr("vlsearch.audit.tasks.wording.perturb", lambda *_: pytest.fail("perturbed again"))
    assert cli("audit", "--captions-from", saved, "--json").rows == first.rows
    refused(cli("audit", "--captions-from", saved, "--perturb", "shuffle-rest"), "none for shuffle-rest")
    saved.write_bytes(saved.read_bytes()[:-100])
    refused(cli("audit", "--captions-from", saved), "captions.parquet", code=1)


def test_queries(cli: Cli, captioned: Path, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("a dog by a cat\ntwo red cars\n\nsea\n")
    done = cli("audit", "--queries", tmp_path / "q.txt", "-k", 2, "--json")
    (report,) = done.rows
    jsonschema.validate(report, schema())
    assert (report["task"], report["subject"], report["queries"], report["photos"]) == ("lists", "q.txt", 3, 6)
    refused(cli("audit", "--queries", tmp_path / "q.txt", "--task", "order"), "leave out")
    (tmp_path / "q.txt").write_text("\n\n")
    refused(cli("audit", "--queries", tmp_path / "q.txt"), "no queries")
    assert captioned.exists()


def test_one_query_has_no_interval(cli: Cli, captioned: Path, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("a dog by a cat\nsea\n")
    told = " ".join(cli("audit", "--queries", tmp_path / "q.txt", "-k", 2).text.split())
    assert "Only one query can change under shuffle, so that its figures have no interval." in told
    assert "at 95 %)" not in told
    assert captioned.exists()


@pytest.mark.parametrize("kind", ["retrieval", "order", "choice"])
def test_exported_texts_are_all_that_an_audit_asks_for(
    cli: Cli, captioned: Path, records: Records, tmp_path: Path, kind: str
) -> None:
    names = [f"{n:05d}.jpg" for n in range(6)]
    texts_of = {"true": "a dog by a cat", "false": "a cat by a dog"}
    options: dict[str, list[Any]] = {
        "retrieval": ["--perturb", "shuffle", "--perturb", "swap", "--perturb", "content-words"],
        "order": ["--task", "order"],
        "choice": ["--dataset", records(*({"image": name, **texts_of} for name in names))],
    }
    assert cli("audit", *options[kind], "--export-texts", tmp_path / "t.parquet").code == 0
    texts = pq.read_table(tmp_path / "t.parquet")["key"].to_pylist()
    keys = [*names, *texts]
    vectors = vectors_file(tmp_path / "v.npz", keys, drawn(keys))
    done = cli("audit", *options[kind], "--model", f"vectors:{vectors}", "--json")
    assert (done.code, done.err) == (0, "")
    vectors_file(vectors, keys[:-1], drawn(keys[:-1]))
    refused(cli("audit", *options[kind], "--model", f"vectors:{vectors}"), f"1 of {len(texts):,} texts have no vector")
    assert captioned.exists()


def test_a_file_of_vectors_answers_no_queries(cli: Cli, captioned: Path, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("a dog by a cat\ntwo red cars\n")
    assert cli("audit", "--queries", tmp_path / "q.txt", "--export-texts", tmp_path / "t.jsonl").code == 0
    keys = ["a dog by a cat"]
    vectors = vectors_file(tmp_path / "v.npz", keys, drawn(keys))
    refused(cli("audit", "--queries", tmp_path / "q.txt", "--model", f"vectors:{vectors}"), "library's index")
    assert captioned.exists()


def test_photos_perturbed(cli: Cli, captioned: Path) -> None:
    (report,) = cli("audit", "--perturb", "shuffle-rows-4", "--seeds", 2, "--json").rows
    assert {r["perturbation"] for r in report["results"]} == {"shuffle-rows-4", "identity", "identity-photos", "sort"}
    same = [r for r in report["results"] if r["perturbation"] == "identity-photos"]
    assert [r["drop"] for r in same] == [0] * len(same)
    assert any(r["drop"] != 0 for r in report["results"] if r["perturbation"] == "shuffle-rows-4")
    (captioned / "00001.jpg").unlink()
    refused(cli("audit", "--perturb", "shuffle-columns-4"), "00001.jpg", code=1)
