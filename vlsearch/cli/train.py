"""`vlsearch train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from vlsearch.cli.options import check_weights, library_option, model_options
from vlsearch.cli.printing import print_json, progress, warn

if TYPE_CHECKING:
    from vlsearch.train.material import Material
    from vlsearch.train.run import Trained

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(name="train", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Train a model on captioned photos: give it a sense of word order, or make a small one of a large one.

    \b
      vlsearch train negclip --out my-model
      vlsearch train negclip --dataset captions.json --images photos --model ViT-B-32/openai --out my-model
      vlsearch train distill --teacher ViT-L-14/openai --arch small.json --out small

    The photos are those of the library that have captions (`vlsearch captions`), or of a dataset. A part of them is
    held out: on it the model is measured before and after. A run that was stopped goes on with the same command.
    With several GPUs: torchrun --nproc-per-node 4 -m vlsearch train ...
    """


def shared_options(function: Command) -> Command:
    """Where photos come from, where the model goes, and how long it takes."""
    path = click.Path(path_type=Path)
    options = (
        library_option,
        click.option("--dataset", metavar="NAME|FILE", help="Captioned photos of a dataset instead of the library's."),
        click.option("--data", type=path, metavar="DIR", help="Where the files of a dataset by name are."),
        click.option("--images", type=path, metavar="DIR", help="Where the photos of the dataset are."),
        click.option("--arch", metavar="NAME|FILE", help="Begin from nothing: an open_clip architecture, or its JSON."),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            required=True,
            help="Where the model goes, and checkpoints.",
        ),
        click.option(
            "--epochs",
            type=click.FloatRange(0, min_open=True),
            default=5.0,
            show_default=True,
            help="How often each photo comes.",
        ),
        click.option("--steps", type=click.IntRange(1), help="Length of the run in steps, instead of --epochs."),
        click.option("--batch", type=click.IntRange(2), default=128, show_default=True, help="Photos in a batch."),
        click.option(
            "--micro",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="Photos in memory at a time; the loss is that of the whole batch all the same.",
        ),
        click.option("--optimizer", type=click.Choice(["adamw", "muon"]), default="adamw", show_default=True),
        click.option(
            "--rate",
            type=click.FloatRange(0, min_open=True),
            help="Peak learning rate [default: 1e-5; 2e-4 with --lora, 1e-3 with --arch].",
        ),
        click.option("--weight-decay", type=click.FloatRange(0), default=0.1, show_default=True),
        click.option(
            "--ema", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Decay of a moving average."
        ),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True),
        click.option(
            "--freeze", multiple=True, metavar="WHAT", help="image, text, or image:6 for all but the last 6 blocks."
        ),
        click.option("--lora", type=click.IntRange(1), metavar="RANK", help="Train adapters only (extra [train])."),
        click.option(
            "--held-out", type=click.FloatRange(0, 0.5), default=0.1, show_default=True, help="Share to measure on."
        ),
        click.option("--sugarcrepe", type=path, metavar="DIR", help="SugarCrepe's files, to be measured too."),
        click.option("--sugarcrepe-images", type=path, metavar="DIR", help="Its photos (COCO val2017)."),
        click.option("--labelled", type=path, metavar="DIR", help="A folder of photos by label, to be measured too."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command()
@shared_options
@model_options
@click.option(
    "--negatives",
    "kinds",
    multiple=True,
    metavar="KIND",
    default=("nouns", "adjectives", "verbs", "adverbs"),
    show_default=True,
    help="Words that change places in a hard negative, or a perturbation of the audit; none for no negatives.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Each second photo of a batch is one of so many nearest to another; 0 for none.",
)
@click.option("--loss", type=click.Choice(["softmax", "sigmoid"]), help="[default: as the model was trained]")
def negclip(**given: Any) -> int:
    """Contrast photos with hard negatives: captions with words swapped, and photos that look alike (NegCLIP).

    \b
      vlsearch train negclip --out my-model
      vlsearch train negclip --model ViT-B-32/openai --lora 8 --out my-model
      vlsearch train negclip --negatives nouns --negatives shuffle --neighbours 0 --out my-model
      vlsearch ingest ~/photos --model local-dir:my-model
    """
    from vlsearch.train.run import train_negclip

    kinds = () if given["kinds"] == ("none",) else given["kinds"]
    return _run(given, lambda material: train_negclip(material, kinds, given["neighbours"]))


@command.command()
@shared_options
@model_options
@click.option(
    "--teacher", required=True, metavar="NAME", help="A model, or vectors:FILE with vectors of the photos and captions."
)
@click.option("--teacher-weights", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
def distill(**given: Any) -> int:
    """Make a small model of a large one: regression on the teacher's vectors beside the contrastive loss.

    \b
      vlsearch train distill --teacher ViT-L-14/openai --arch small.json --out small
      vlsearch train distill --teacher vectors:teacher.parquet --model builtin --out small
      vlsearch audit --model vectors:teacher.parquet --model local-dir:small
    """
    from vlsearch.train.run import train_distill

    return _run(given, lambda material: train_distill(material, given["teacher"], given["teacher_weights"]))


def _run(given: dict[str, Any], train: Callable[[Material], Trained]) -> int:
    from vlsearch.train.material import Asked, material

    source = click.get_current_context().get_parameter_source("model_name")
    if given["arch"] is not None and source == ParameterSource.ENVIRONMENT:
        given["model_name"] = None
    check_weights(given["model_name"], given["weights"])
    asked = Asked(**{name: value for name, value in given.items() if name in Asked.__dataclass_fields__})
    with progress() as show, material(asked, show) as found:
        trained = train(found)
    if not trained.first:  # another process of this run says it
        return 0
    if given["as_json"]:
        print_json(trained.to_dict())
    else:
        _print(trained)
    for line in trained.remarks:
        warn(line)
    for name, reason in trained.unreadable:
        warn(f"cannot read '{name}': {reason}; left out")
    return 1 if trained.unreadable else 0


def _print(trained: Trained) -> None:
    """What it did to search comes first, then where the model is."""
    from rich.text import Text

    from vlsearch.audit.report.tables import print_table
    from vlsearch.cli.audit_outputs import console
    from vlsearch.encoders.names import FOLDER
    from vlsearch.train.card import before_and_after, counted
    from vlsearch.train.change import verdict

    if trained.changes:
        out = console()
        out.print(Text(f"{verdict(trained.changes)}\n"))
        title = f"In percent, with 95 % intervals of the differences, on {counted(trained.changes)}"
        print_table(before_and_after(trained.changes, brief=True), title, out)
    click.echo(f"The model is in {trained.folder}, its card in {trained.folder / 'README.md'}. To search with it:")
    click.echo(f"  vlsearch ingest PHOTOS --model {FOLDER}{trained.folder}")
