"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vlsearch.cli.printing import status

if TYPE_CHECKING:
    from vlsearch.encoders.base import Encoder
    from vlsearch.library import Library

Command = TypeVar("Command", bound=Callable[..., Any])

library_option = click.option(
    "--library",
    "library_path",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The library's folder [default: $VLSEARCH_LIBRARY, or one in your data folder].",
)


precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="How the model computes; auto takes the fastest that keeps a cosine of 0.99 to fp32.",
)


def verbose_option(command: Command) -> Command:
    """-v: what was chosen and why, on stderr."""

    def switch(_context: click.Context, _parameter: click.Parameter, on: bool) -> None:
        if on:
            import logging

            logging.getLogger("vlsearch").setLevel(logging.INFO)

    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=switch, help="Say what was chosen and why."
    )(command)


def model_options(command: Command) -> Command:
    command = click.option(
        "--weights",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Weights for the open_clip architecture that --model names (.safetensors, or .pt read safely).",
    )(command)
    return click.option(
        "--model",
        "model_name",
        metavar="NAME",
        envvar="VLSEARCH_MODEL",
        help="builtin, an open_clip ARCH/tag, hf-hub:ORG/REPO, or local-dir:FOLDER [default: the library's own].",
    )(command)


def encoder_for(library: Library, model_name: str | None, weights: Path | None) -> Encoder:
    """The encoder that made the library's vectors, or the one asked for; refused when its vectors do not compare."""
    from vlsearch.encoders import registry

    check_weights(model_name, weights)
    source = registry.source_of(model_name, weights) if model_name and weights else library.model(model_name).source
    encoder = load_source(source)
    library.model_of(encoder)
    return encoder


def load_source(source: dict[str, Any]) -> Encoder:
    """The model that a library describes so."""
    from vlsearch.encoders import registry

    with status("loading the model"):
        return registry.load_source(source)


def prepare_texts(encoder: object) -> None:
    """Export the text tower, unless that is done, so that a query needs no torch."""
    from vlsearch.encoders.text_export import ensure

    with status("preparing the model for quick queries"):
        ensure(encoder)


def check_weights(model_name: str | None, weights: Path | None) -> None:
    from vlsearch.errors import UsageError

    if weights is not None and model_name is None:
        raise UsageError("--weights needs --model ARCHITECTURE, the open_clip architecture that the weights are of")
