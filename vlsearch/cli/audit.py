"""`vlsearch audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vlsearch.cli.audit_outputs import Outputs, output_options, safe
from vlsearch.cli.audit_running import asked_queries, model_sources, run_one, write_texts
from vlsearch.cli.options import library_option
from vlsearch.cli.printing import warn

if TYPE_CHECKING:
    from vlsearch.audit.asked import Asked
    from vlsearch.audit.datasets import Choices
    from vlsearch.audit.run import Audited

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
@click.option("--seeds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Perturb so many times.")
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
    envvar="VLSEARCH_MODEL",
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
        refuse_options(ctx)
        return 0
    from vlsearch.audit.asked import LOG, Asked
    from vlsearch.audit.conditions import check_names, parse
    from vlsearch.audit.run import resolved
    from vlsearch.errors import UsageError

    if queries is not None and query_log:
        raise UsageError("--queries and --query-log exclude one another")
    if weights is not None and len(models) != 1:
        raise UsageError("--weights needs one --model ARCHITECTURE, the open_clip architecture that the weights are of")
    given = Outputs(**outputs)
    given.check()
    known = None
    not_for_all = {
        "--perturb": perturbations,
        "--through-index": through_index,
        "--captions-from": captions_from,
        "--save-captions": given.save_captions,
    }
    if captions_from is not None:
        from vlsearch.audit.tasks.wording import known_from

        known, saved, seeds = known_from(captions_from)
        perturbations = perturbations or tuple(saved) or ("identity",)
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
    if parsed or any(not_for_all.values()):
        kind, choices = expected(asked)
        check_names(parsed, kind, perturbations=asked.perturbations, ks=asked.ks, choices=choices)
        check_options(kind, [option for option, value in not_for_all.items() if value])

    texts = asked_queries(asked, library_path)
    if export_texts is not None:
        return write_texts(export_texts, asked, texts, library_path)
    sources = model_sources(asked, tuple(dict.fromkeys(models)) or (None,), weights, library_path)
    runs, stems = [], set[str]()
    for source in sources:
        audited, number = run_one(asked, source, library_path, texts, known)
        stem = distinct(safe(audited.report.model), stems) if len(sources) > 1 else ""
        given.deliver(audited, number, stem)
        runs.append(audited)
    given.compare(runs)
    return failed(parsed, runs)


def refuse_options(ctx: click.Context) -> None:
    """UsageError for options of a new audit before the name of a command, where they would count for nothing."""
    from vlsearch.errors import UsageError

    sources = {param: ctx.get_parameter_source(param.name) for param in ctx.command.params if param.name is not None}
    for param, source in sources.items():
        if source is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{param.opts[0]} stands before `{ctx.invoked_subcommand}`; options go behind it")


def check_options(kind: str, given: Sequence[str]) -> None:
    """UsageError for an option that this kind of audit would not heed."""
    from vlsearch.errors import UsageError

    heeded = {"retrieval": given, "lists": ("--perturb",)}.get(kind, ())
    for option in given:
        if option not in heeded:
            what = "queries" if kind == "lists" else "choices"
            raise UsageError(f"{option} has no effect on an audit of {what}; leave it out")


def distinct(stem: str, taken: set[str]) -> str:
    """`stem`, numbered where another model's files are called so already."""
    found = next(name for n in range(1, len(taken) + 2) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)
    taken.add(found)
    return found


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
    from vlsearch.audit.datasets import PUBLISHED

    path = Path(dataset)
    return str(path.absolute()) if dataset not in PUBLISHED and path.exists() else dataset
