"""`vlsearch tag`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.evaluation import print_evaluation, some
from vlsearch.cli.filter_options import filter_options, filters_from
from vlsearch.cli.options import encoder_for, library_option, model_options
from vlsearch.cli.printing import print_json, progress, warn
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.catalog.rows import ModelRow
    from vlsearch.library import Library
    from vlsearch.search.labels import Truth
    from vlsearch.search.tagging import Tags

ALL = "\0all"
BLOCK = 1000
"""photos whose lines are written at a time"""
MULTI_PROBABILITY = 0.9


@click.command(no_args_is_help=True)
@click.option("--labels", "labels_file", metavar="FILE", type=click.Path(path_type=Path), help="Labels, one a line.")
@click.option(
    "--descriptions",
    "descriptions_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help='Sentences that describe labels, {"label": ["sentence", …]} (see `vlsearch describe`).',
)
@click.option(
    "--prompts",
    "prompts_name",
    metavar="NAME|FILE",
    help="How labels without descriptions are put into words: plain, photo, clip7, or a file of templates "
    '[default: "a photo of a {}"].',
)
@click.option("-k", "k", type=click.IntRange(min=1), help="Labels a photo at most [default: 1; with --multi, all].")
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    metavar="P",
    help=f"Leave out less probable labels [default: 0; with --multi, {MULTI_PROBABILITY}].",
)
@click.option("--multi", is_flag=True, help="Each label for itself: a photo may have several, or none.")
@click.option("--store", is_flag=True, help="Keep the labels in the library, as tags to filter by.")
@click.option(
    "--evaluate",
    "truth_name",
    metavar="folders|FILE",
    help="Count how often labels are right: the photos' folders are named after them, or a CSV, TSV or JSONL file "
    "with the columns path and label says them.",
)
@click.option("--list", "list_", is_flag=True, help="The tags that are stored, with the number of photos.")
@click.option(
    "--clear", metavar="[LABEL]", is_flag=False, flag_value=ALL, help="Delete a stored tag; without LABEL all of them."
)
@click.option("--json", "as_json", is_flag=True, help="JSON: an object a line; one in all with --evaluate and --store.")
@filter_options
@library_option
@model_options
def command(
    labels_file: Path | None,
    descriptions_file: Path | None,
    prompts_name: str | None,
    k: int | None,
    min_probability: float | None,
    multi: bool,
    store: bool,
    truth_name: str | None,
    list_: bool,
    clear: str | None,
    as_json: bool,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
    **params: Any,
) -> int:
    """Tell which of your labels each photo shows, from the vectors that the library holds.

    A label's probability is the softmax over all labels. With --multi each label is weighed by itself, against texts
    that say nothing ("a photo"). Descriptions of how a thing looks may do better than its name, or worse: --evaluate
    says which, on photos whose label is known.

    \b
      vlsearch tag --labels labels.txt
      vlsearch tag --labels labels.txt --descriptions descriptions.json --store
      vlsearch tag --labels labels.txt --evaluate folders
      vlsearch tag --list
    """
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library

    filters = filters_from(params)
    if (labels_file is not None) + list_ + (clear is not None) != 1:
        raise UsageError("give one of --labels FILE, --list and --clear")
    if store and truth_name:
        raise UsageError("--evaluate compares and --store keeps: give one of them")
    if truth_name and (multi or k is not None or min_probability is not None):
        raise UsageError("--evaluate takes the most probable label: it goes without --multi, -k and --min-probability")
    if labels_file is None:
        if filters:
            raise UsageError("--list and --clear are of all photos: they go without filters")
        with open_library(library_path, write=not list_) as library:
            return print_counts(library, as_json) if list_ else clear_tags(library, clear or "", as_json)

    from vlsearch.search import tagging
    from vlsearch.search.labels import read_labels
    from vlsearch.search.prompts import Prompts, embed_prompts, load_descriptions, prompts_from

    labels = read_labels(labels_file)
    if len(labels) == 1 and not multi:
        raise UsageError("every photo is of a label that stands alone; give --labels more of them, or --multi")
    descriptions = load_descriptions(descriptions_file) if descriptions_file else {}
    prompts = prompts_from(prompts_name) if prompts_name else None
    texts, lacking = tagging.class_prompts(labels, prompts or Prompts((tagging.TEMPLATE,)), descriptions)
    if lacking and descriptions:
        warn(f"{len(lacking):,} labels have no description and take the template: {some(lacking)}")
    with open_library(library_path, write=store) as library, library.snapshot() as reader:
        encoder = encoder_for(library, model_name, weights)
        model = library.model_of(encoder)
        ids = tagging.photo_ids(reader, filters)
        if truth_name:
            from vlsearch.search.evaluate import evaluate_library, prompt_sets

            truth = truth_of(truth_name, tagging.places(reader, ids), labels)
            sets = prompt_sets(labels, prompts, descriptions)
            classes = [embed_prompts(encoder.embed_texts, one.texts) for one in sets]
            with progress() as show:
                found = evaluate_library(library, model, truth, labels, sets, classes, show)
            print_evaluation(found, as_json)
            return 0
        with progress() as show:
            tags = tagging.classify(
                library,
                model,
                ids,
                embed_prompts(encoder.embed_texts, texts),
                logit_scale=float(getattr(encoder, "logit_scale", tagging.LOGIT_SCALE)),
                neutral=embed_prompts(encoder.embed_texts, [tagging.NEUTRAL])[0] if multi else None,
                k=k if k is not None or multi else 1,
                min_probability=(MULTI_PROBABILITY if multi else 0.0) if min_probability is None else min_probability,
                progress=show,
            )
        if without := len(ids) - len(tags.looked_at):
            warn(f"{without:,} photos have no vector of {model.name}; `vlsearch ingest --model {model.name}` adds them")
        if store:
            store_tags(library, model, tags, labels, as_json)
        else:
            print_tags(tags, labels, tagging.first_places(reader, filters, ids), as_json)
    if not len(tags.looked_at):
        warn("no photo to tell labels of")
    return 0


def blocks(rows: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    rows = iter(rows)
    while block := list(islice(rows, BLOCK)):
        yield block


def print_tags(tags: Tags, labels: Sequence[str], places: Iterable[tuple[str, int]], as_json: bool) -> None:
    """A row a photo and label: JSON objects, a table for a person, tab-separated lines for a pipe."""
    terminal = sys.stdout.isatty() and not as_json
    for block in blocks(places):
        rows = [(*block[n], labels[label], p) for n, label, p in tags.rows([photo for _, photo in block])]
        if terminal:
            print_table(rows, max(map(len, labels)))
            continue
        for path, photo, label, p in rows:
            if as_json:
                print_json({"path": path, "id": photo, "label": label, "probability": round(p, 6)})
            else:
                click.echo(f"{printable(path)}\t{printable(label)}\t{p:.4f}")


def print_table(rows: Sequence[tuple[str, int, str, float]], width: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", width=5)
    table.add_column(width=min(width, 40), overflow="fold")
    table.add_column(overflow="fold")
    for path, _, label, p in rows:
        table.add_row(f"{p:.3f}", Text(printable(label)), Text(printable(path)))
    Console().print(table)


def store_tags(library: Library, model: ModelRow, tags: Tags, labels: Sequence[str], as_json: bool) -> None:
    from vlsearch.search.tagging import store

    replaced, photos = store(library, model, tags, labels), len(tags.looked_at)
    if as_json:
        print_json({"photos": photos, "tags": len(tags.photo), "replaced": replaced})
    else:
        click.echo(f"{len(tags.photo):,} tags of {photos:,} photos stored, {replaced:,} former ones taken out")


def print_counts(library: Library, as_json: bool) -> int:
    from vlsearch.catalog.tags import tag_counts

    with library.read() as c:
        counts = tag_counts(c)
    for count in counts:
        if as_json:
            print_json(count._asdict())
        else:
            click.echo(f"{count.photos}\t{printable(count.name)}\t{printable(count.model)}")
    if not counts:
        warn("no photo has a tag; `vlsearch tag --labels FILE --store` gives them")
    return 0


def clear_tags(library: Library, label: str, as_json: bool) -> int:
    from vlsearch.catalog.tags import clear
    from vlsearch.errors import UsageError

    with library.transaction() as c:
        cleared = clear(c, None if label == ALL else label)
    if not cleared and label != ALL:
        raise UsageError(f"no photo has the tag {label!r}; `vlsearch tag --list` lists them")
    if as_json:
        print_json({"cleared": cleared})
    else:
        click.echo(f"{cleared:,} tags deleted")
    return 0


def truth_of(name: str, places: dict[str, int], labels: Sequence[str]) -> Truth:
    from vlsearch.search.labels import FOLDERS, truth_from_file, truth_from_folders

    if name == FOLDERS:
        return truth_from_folders(places, labels)
    return truth_from_file(Path(name), places, labels)
