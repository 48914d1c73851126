"""`vlsearch audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vlsearch.cli.audit_outputs import Outputs, output_options
from vlsearch.cli.options import library_option
from vlsearch.cli.printing import progress, warn

if TYPE_CHECKING:
    from vlsearch.audit.asked import Asked
    from vlsearch.audit.datasets import Choices
    from vlsearch.audit.run import Audited
    from vlsearch.library import Library

FAILED = 3
"""exit code where a --fail-if holds"""


class Group(click.Group):
    """`audit --perturb …` runs one; `audit list` and the others are of those that were run."""

    NAMES = ("list", "show", "export", "compare", "repeat", "forget")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from vlsearch.cli import audit_runs

        return audit_runs.COMMANDS.get(cmd_name)


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--perturb",
    "perturbations",
    metavar="NAME",
    multiple=True,
    help="What moves; `all` for all of them. [default: shuffle]",
)
@click.option("-k", "ks", type=click.IntRange(min=1), multiple=True, default=(1, 5, 10), show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Perturb so many times.")
@click.option(
    "--task",
    type=click.Choice(["retrieval", "order"]),
    default="retrieval",
    show_default=True,
    help="order: choose between each caption and four perturbed forms of it.",
)
@click.option(
    "--dataset", metavar="NAME|FILE", help="Instead of the library: a published dataset, or a JSONL of your own."
)
@click.option(
    "--data", metavar="PATH", type=click.Path(path_type=Path), help="The dataset's file, or the folder with its files."
)
@click.option("--images", metavar="DIR", type=click.Path(path_type=Path), help="The folder with the dataset's photos.")
@click.option("--available", is_flag=True, help="Only what has its photos there; every output says so.")
@click.option(
    "--queries", metavar="FILE", help="Without captions: how queries' results change, one query a line; - is stdin."
)
@click.option(
    "--query-log", is_flag=True, help="The same with the queries that the library has logged (`vlsearch log`)."
)
@click.option("--through-index", is_flag=True, help="Also ask through the library's index, and say what that loses.")
@click.option(
    "--tokenizer",
    type=click.Choice(["own", "aro"]),
    default="own",
    show_default=True,
    help="aro: the paper's (needs spaCy).",
)
@click.option("--force", is_flag=True, help="Use parts of speech of captions that are not English.")
@click.option(
    "--captions-from",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Perturbed captions that --save-captions wrote.",
)
@click.option(
    "--export-texts",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Only write all texts that need a vector (.parquet, .jsonl, .txt).",
)
@click.option(
    "--fail-if", "conditions", metavar="COND", multiple=True, help='Exit code 3 if so, such as "t2i.R@1.drop<0.02".'
)
@output_options
@click.option(
    "--weights",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Weights for the open_clip architecture that --model names.",
)
@click.option(
    "--model",
    "models",
    metavar="NAME",
    multiple=True,
    help="As elsewhere, or vectors:FILE; several are compared. [default: the library's own]",
)
@library_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    perturbations: tuple[str, ...],
    ks: tuple[int, ...],
    seeds: int,
    task: str,
    dataset: str | None,
    data: Path | None,
    images: Path | None,
    available: bool,
    queries: str | None,
    query_log: bool,
    through_index: bool,
    tokenizer: str,
    force: bool,
    captions_from: Path | None,
    export_texts: Path | None,
    conditions: tuple[str, ...],
    weights: Path | None,
    models: tuple[str, ...],
    library_path: Path | None,
    **outputs: Any,
) -> int:
    """Measure how far the answers depend on the order of words.

    Every caption of the library looks for its photo, and every photo for its captions, as written and with the words
    moved. The drop in Recall@k comes with a 95 % interval from a paired bootstrap over photos.

    \b
      vlsearch audit --perturb shuffle
      vlsearch audit --perturb all --seeds 5 --report audit/
      vlsearch audit --task order
      vlsearch audit --dataset sugarcrepe --data sugarcrepe/ --images val2017/
      vlsearch audit --queries queries.txt --perturb shuffle
      vlsearch audit --model ViT-B-32/openai --model ViT-B-32/datacomp_xl_s13b_b90k
      vlsearch audit --fail-if "t2i.R@1.drop<0.02"

    Perturbations of words: shuffle, shuffle-nouns-adj, shuffle-rest, shuffle-within-trigrams, shuffle-trigrams, swap,
    swap-adjectives, swap-adjacent, reverse, sort, content-words, nouns-only; of photos: shuffle-rows-4,
    shuffle-columns-4, shuffle-patches-9. Datasets: coco, flickr30k, coco-order, flickr30k-order, vg-relation,
    vg-attribution, sugarcrepe, winoground, vsr, or a JSONL of {image, true, false} or {image, captions}.

    Exit codes: 0 fine, 1 finished with some failures, 2 wrong usage, 3 a --fail-if holds.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from vlsearch.audit.asked import LOG, Asked
    from vlsearch.audit.conditions import check_names, parse
    from vlsearch.audit.run import resolved
    from vlsearch.errors import UsageError

    if queries is not None and query_log:
        raise UsageError("--queries and --query-log exclude one another")
    given = Outputs(**outputs)
    given.check()
    known = None
    if captions_from is not None:
        from vlsearch.audit.perturb import lookup
        from vlsearch.audit.tasks.wording import known_from

        known, saved, seeds = known_from(captions_from)
        perturbations = perturbations or tuple(name for name in saved if not lookup(name).control)
    asked = resolved(
        Asked(
            task=task,  # type: ignore[arg-type]
            perturbations=perturbations or ("shuffle",),
            seeds=seeds,
            ks=ks,
            tokenizer=tokenizer,
            force=force,
            through_index=through_index,
            dataset=absolute(dataset) if dataset is not None else None,
            data=str(data.absolute()) if data is not None else None,
            images=str(images.absolute()) if images is not None else None,
            available=available,
            queries=LOG if query_log else queries,
        )
    )
    parsed = [parse(condition) for condition in conditions]
    if parsed:
        task, choices = expected(asked)
        check_names(parsed, task, perturbations=asked.perturbations, ks=asked.ks, choices=choices)
    if weights is not None and len(models) != 1:
        raise UsageError("--weights needs one --model ARCHITECTURE, the open_clip architecture that the weights are of")

    texts = asked_queries(asked, library_path)
    if export_texts is not None:
        return write_texts(export_texts, asked, texts, library_path)
    runs = []
    for name in models or (None,):
        audited, number = run_one(asked, name, weights, library_path, texts, known)
        given.deliver(audited, number, several=len(models) > 1)
        runs.append(audited)
    if len(runs) > 1:
        given.compare(runs)
    return failed(parsed, runs)


def run_one(
    asked: Asked,
    name: str | None,
    weights: Path | None,
    library_path: Path | None,
    queries: Sequence[str],
    known: Any,
) -> tuple[Audited, int | None]:
    """Run it with one model and keep it; the run and its number, None where it cannot be kept."""
    from vlsearch.audit.model import AuditModel
    from vlsearch.audit.run import audit
    from vlsearch.audit.runs import CACHE, FOLDER
    from vlsearch.library import open_library

    if asked.dataset is not None:
        make_library(library_path)
    with open_library(library_path) as library:
        encoder, source = encoder_of(library, name, weights, of_library=asked.dataset is None)
        with progress() as show:
            model = AuditModel(encoder, library.path / FOLDER / CACHE, show)
            audited = audit(asked, model, library, queries=queries, known=known, progress=show)
    return audited, keep(library_path, audited, source)


def encoder_of(
    library: Library, name: str | None, weights: Path | None, *, of_library: bool
) -> tuple[Any, dict[str, Any]]:
    """The model that is asked for, and how it is loaded again: where the library's photos are asked, one that made
    their vectors."""
    from vlsearch.cli.options import encoder_for, load_source
    from vlsearch.encoders.vectors_file import PREFIX, VectorsEncoder

    if name is not None and name.startswith(PREFIX):
        path = Path(name.removeprefix(PREFIX)).expanduser().absolute()
        return VectorsEncoder(path), {"name": name, "vectors": str(path)}
    if of_library:
        encoder = encoder_for(library, name, weights)
        return encoder, encoder.source
    source = library.source_for(name, weights)
    return load_source(source), source


def make_library(library_path: Path | None) -> None:
    """A dataset needs no library; its audits are kept in one all the same, which is made where there is none."""
    from vlsearch.errors import LibraryNotFound
    from vlsearch.library import open_library

    try:
        open_library(library_path).close()
    except LibraryNotFound:
        open_library(library_path, write=True, create=True).close()


def keep(library_path: Path | None, audited: Audited, source: dict[str, Any]) -> int | None:
    """Keep the run in the library; without the lock the result is shown all the same."""
    from vlsearch.audit import runs
    from vlsearch.errors import LibraryError
    from vlsearch.library import open_library

    try:
        with open_library(library_path, write=True) as library:
            return runs.keep(library, audited, source)
    except LibraryError as error:
        warn(f"this audit is not kept in the library: {error}")
        return None


def asked_queries(asked: Asked, library_path: Path | None) -> list[str]:
    from vlsearch.audit.asked import LOG
    from vlsearch.audit.tasks.lists import read_queries
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library
    from vlsearch.search.log import logged_queries

    if asked.queries is None:
        return []
    if asked.queries != LOG:
        return read_queries(asked.queries)
    with open_library(library_path) as library:
        found = logged_queries(library.path)
    if not found:
        raise UsageError("no query is logged; `vlsearch log --on` switches the log on, --queries FILE needs none")
    return found


def write_texts(path: Path, asked: Asked, queries: Sequence[str], library_path: Path | None) -> int:
    from vlsearch.audit.run import texts_needed
    from vlsearch.audit.texts_file import export_texts
    from vlsearch.library import open_library

    with progress() as show:
        if asked.dataset is not None:
            texts = texts_needed(asked, None, queries=queries, progress=show)
        else:
            with open_library(library_path) as library:
                texts = texts_needed(asked, library, queries=queries, progress=show)
    export_texts(path, texts)
    click.echo(f"{len(texts):,} texts written to {path}")
    return 0


def failed(conditions: Sequence[Any], runs: Sequence[Audited]) -> int:
    from vlsearch.audit.conditions import failures

    lines = [
        (f"{run.report.model}: " if len(runs) > 1 else "") + line
        for run in runs
        for line in failures(conditions, run.report)
    ]
    for line in lines:
        warn(line)
    return FAILED if lines else 0


def expected(asked: Asked) -> tuple[Literal["retrieval", "choice", "lists"], Choices | None]:
    """What kind of report this will be, and the items of a dataset that is a choice."""
    from vlsearch.audit.datasets import Choices, load

    if asked.task != "retrieval":
        return "lists" if asked.task == "lists" else "choice", None
    if asked.dataset is None:
        return "retrieval", None
    dataset = load(asked.dataset, Path(asked.data) if asked.data is not None else None)
    if isinstance(dataset, Choices):
        return "choice", dataset
    return "retrieval" if dataset.task == "retrieval" else "choice", None


def absolute(dataset: str) -> str:
    """A published name as it is, a file by its whole path, so that the audit can be repeated from elsewhere."""
    path = Path(dataset)
    return str(path.absolute()) if path.exists() else dataset
