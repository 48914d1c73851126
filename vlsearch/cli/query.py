"""`vlsearch query`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from vlsearch.cli import deliver
from vlsearch.cli.answers import print_paths, print_table
from vlsearch.cli.completion import files
from vlsearch.cli.filter_options import filter_options, filters_from
from vlsearch.cli.options import (
    check_weights,
    library_option,
    load_source,
    model_options,
    prepare_texts,
    verbose_option,
)
from vlsearch.cli.printing import print_json, warn
from vlsearch.cli.terms import TermsCommand, prompts_for, terms_options
from vlsearch.cli.thumbnails import check_terminal, print_thumbnails

if TYPE_CHECKING:
    from vlsearch.search.engine import Engine, Hit
    from vlsearch.search.explain import Explanation
    from vlsearch.search.filters import Filters
    from vlsearch.search.order import OrderCheck
    from vlsearch.search.prompts import Prompts
    from vlsearch.search.query import Term

DIVERSE = 0.5
"""what --diverse trades: half score, half variety"""


@click.command(cls=TermsCommand, no_args_is_help=True)
@click.argument("text", required=False)
@terms_options
@click.option(
    "--batch", metavar="FILE|-", shell_complete=files, help="Many queries, one a line, in short form or as JSON."
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="With --batch: .jsonl or .parquet.")
@filter_options
@click.option("--to", type=click.Choice(["photos", "captions"]), default="photos", show_default=True)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="How many answers.")
@click.option("--page", type=click.IntRange(min=1), default=1, show_default=True, help="2: the next k.")
@click.option("--sort", type=click.Choice(["score", "taken", "path"]), default="score", show_default=True)
@click.option("--min-score", type=float, metavar="COSINE", help="Leave out answers below this score (-1 to 1).")
@click.option("--diverse", is_flag=True, help="Answers that differ from each other as well (MMR).")
@click.option("--group-duplicates", is_flag=True, help="The best of photos that hardly differ.")
@click.option("--order-check", is_flag=True, help="Ask again with the words moved; say how much changes.")
@click.option("--explain", is_flag=True, help="Say which words carry each score; heat maps in --html.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: rank, score, path, id, captions, taken.")
@click.option("--paths", is_flag=True, help="Paths only, one a line, as the file system has them.")
@click.option("-0", "null", is_flag=True, help="With --paths: end each with a null byte, for xargs -0.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a contact sheet as well.")
@click.option("--open", "open_", is_flag=True, help="Open the contact sheet.")
@click.option("--copy-to", metavar="DIR", type=click.Path(path_type=Path), help="Copy the photos there as well.")
@click.option("--thumbnails", is_flag=True, help="Show the photos in the terminal.")
@library_option
@model_options
@verbose_option
def command(
    text: str | None,
    terms: tuple[Term, ...],
    prompts: str | None,
    allow_url: bool,
    batch: str | None,
    out: Path | None,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
    as_json: bool,
    paths: bool,
    null: bool,
    html: Path | None,
    open_: bool,
    copy_to: Path | None,
    thumbnails: bool,
    order_check: bool,
    explain: bool,
    diverse: bool,
    **options: Any,
) -> int:
    """Find photos by words and pictures, added and subtracted, among those that filters keep.

    \b
      vlsearch query "dog on the beach" -k 20
      vlsearch query "horse + stripes - 2:fruit"
      vlsearch query --like pool.jpg --minus people --taken 2021-06..2021-08
      vlsearch query --like pool.jpg --to captions
      vlsearch query "receipt" --paths -0 | xargs -0 cp -t receipts/
      vlsearch query --batch queries.txt --out answers.parquet
    """
    from vlsearch.errors import UsageError
    from vlsearch.search import log
    from vlsearch.search.warm import engine_for

    check_weights(model_name, weights)
    filters = filters_from(options)
    templates = prompts_for(prompts)
    given = {"--paths": paths or null, "--html": html, "--open": open_, "--copy-to": copy_to}
    ways = [name for name, value in given.items() if value]
    check(text, terms, filters, options, order_check, explain, batch, out, [*ways, *["--thumbnails"] * thumbnails])
    if thumbnails and (as_json or paths or null):
        raise UsageError("--thumbnails shows the answers to a person, --json and --paths give them to a program")
    if thumbnails:
        check_terminal()
    if open_ and html is None:
        html = deliver.sheet_to_open()
    with engine_for(open_engine, library_path, model_name, weights, allow_url=allow_url) as engine:
        if batch is not None:
            return answer_batch(engine, batch, out, filters, templates, options)
        diversity = DIVERSE if diverse else None
        hits = engine.search(terms, filters=filters, prompts=templates, diverse=diversity, **options)
        explanations = None
        if explain:
            from vlsearch.search.why import explain_hits

            explanations = explain_hits(engine, terms, hits, templates)
        order = checked_order(engine, terms, filters, templates, options) if order_check else None
        if html is not None:
            write_html(html, engine, terms, hits, templates, explanations, order, options["page"])
        if thumbnails:
            print_thumbnails(hits)
        else:
            show(hits, explanations, order, as_json, "\0" if null else "\n" if paths else "", options)
        if not hits and not as_json and not paths and not null:
            warn(nothing(filters, options))
        log.record(engine.library.path, terms)
    if open_ and html is not None:
        deliver.open_file(html)
    return deliver.copy_to(copy_to, hits) if copy_to is not None else 0


@contextmanager
def open_engine(
    library_path: Path | None, model_name: str | None, weights: Path | None, *, allow_url: bool = False
) -> Iterator[Engine]:
    from vlsearch.library import open_library
    from vlsearch.search.opening import engine_of

    with open_library(library_path) as library:
        engine = engine_of(library, model_name, weights, load=load_source, allow_url=allow_url)
        yield engine
        if "torch" in sys.modules:  # the answer is shown; the next one will not need it
            sys.stdout.flush()
            prepare_texts(engine.encoder())


def check(
    text: str | None,
    terms: Sequence[Term],
    filters: Filters,
    options: dict[str, Any],
    order_check: bool,
    explain: bool,
    batch: str | None,
    out: Path | None,
    ways: Sequence[str],
) -> None:
    """Refuse what cannot be asked, before anything is loaded."""
    from vlsearch.errors import UsageError

    if options["min_score"] is not None and math.isnan(options["min_score"]):
        raise UsageError("--min-score must be a number, such as 0.2")
    if batch is not None:
        if ways:
            raise UsageError(f"--batch answers in JSON lines or a file (--out), not by {' and '.join(ways)}")
        lone = [name for name in ("diverse", "group_duplicates") if options.get(name)]
        if terms or text or order_check or explain or lone or options["page"] != 1 or options["sort"] != "score":
            raise UsageError(
                "--batch takes its queries from the file; besides it only -k, --to, --min-score, --prompts and filters"
            )
        return
    if out is not None:
        raise UsageError("--out is for --batch; --html writes a contact sheet")
    if not terms and (not filters or options["to"] == "captions"):
        raise UsageError(
            'say what to look for: words, --like FILE, or a filter, as in vlsearch query "dog on the beach"'
        )
    if not terms and (order_check or explain):
        raise UsageError("--order-check and --explain are about words and pictures; give some beside the filters")
    if options["to"] == "captions" and (explain or options["group_duplicates"]):
        name = "explain" if explain else "group-duplicates"
        raise UsageError(f"--{name} is about photos; leave it out with --to captions")


def answer_batch(
    engine: Engine,
    batch: str,
    out: Path | None,
    filters: Filters,
    templates: Prompts | None,
    options: dict[str, Any],
) -> int:
    from vlsearch.search.batch import read_queries, run_batch, write_results
    from vlsearch.search.engine import KINDS

    failed: list[str] = []

    def bad(message: str) -> None:
        failed.append(message)
        warn(message)

    kind = KINDS[options["to"]]
    with lines_of(batch) as lines:
        answers = run_batch(
            engine,
            read_queries(lines, bad),
            options["k"],
            kind,
            bad=bad,
            prompts=templates,
            allowed=engine.allowed(filters, kind),
            min_score=options["min_score"],
        )
        written = write_results(answers, sys.stdout if out is None else out, options["to"] == "captions")
    if out is not None:
        click.echo(f"{written:,} queries answered in {out}")
    return 1 if failed else 0


@contextmanager
def lines_of(name: str) -> Iterator[BinaryIO]:
    from vlsearch.errors import UsageError

    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"cannot read {name!r}: {(error.strerror or str(error)).lower()}") from error
    with file:
        yield file


def checked_order(
    engine: Engine, terms: Sequence[Term], filters: Filters, templates: Prompts | None, options: dict[str, Any]
) -> OrderCheck:
    from vlsearch.search.engine import KINDS
    from vlsearch.search.why import check_order

    kind = KINDS[options["to"]]
    return check_order(engine, terms, options["k"], kind, engine.allowed(filters, kind), templates)


def show(
    hits: Sequence[Hit],
    explanations: Sequence[Explanation] | None,
    order: OrderCheck | None,
    as_json: bool,
    end: str,
    options: dict[str, Any],
) -> None:
    """Answers on stdout; what is said about them as well where that is a terminal or JSON, else on stderr."""
    if as_json:
        for n, hit in enumerate(hits):
            print_json(hit.to_dict() | ({"explanation": explanations[n].to_dict()} if explanations else {}))
        if order is not None:
            print_json({"order_check": order.to_dict()})
        return
    if end:
        print_paths(hits, end)
    elif hits:
        print_table(hits, options["to"], explanations)
    if order is not None:
        apart = "\n" if sys.stdout.isatty() and not end else ""
        click.echo(apart + order.sentence(options["to"].removesuffix("s")), err=not apart)


def nothing(filters: Filters, options: dict[str, Any]) -> str:
    if options["page"] > 1:
        return f"there is no page {options['page']}"
    if options["min_score"] is not None:
        return "nothing scores that high; try a lower --min-score"
    if filters:
        return "no photo is what the filters ask for; leave one out"
    return f"the library holds no {options['to']} to answer with"


def write_html(
    file: Path,
    engine: Engine,
    terms: Sequence[Term],
    hits: Sequence[Hit],
    templates: Prompts | None,
    explanations: Sequence[Explanation] | None,
    order: OrderCheck | None,
    page: int,
) -> None:
    from vlsearch.search.query import describe
    from vlsearch.search.sheet import Section, SheetHit, write_sheet
    from vlsearch.search.why import heat_of

    heat = heat_of(engine, terms, hits, templates) if explanations else None
    tiles = [
        SheetHit(
            hit.path,
            hit.score,
            hit.caption or (hit.captions[0] if hit.captions else None),
            hit.rank,
            hit.copies,
            explanations[n] if explanations else None,
            heat[n] if heat else None,
        )
        for n, hit in enumerate(hits)
    ]
    named = [replace(t, image=os.path.basename(t.image)) if t.image else t for t in terms]  # noqa: PTH119 - or a URL
    title = describe(named) if terms else "photos"
    sentence = order.sentence() if order is not None else ""
    write_sheet(file, [Section(title, "", tiles, terms=terms, order=sentence, page=page)])
