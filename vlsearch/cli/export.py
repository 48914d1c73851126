"""`vlsearch export`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.printable import printable


@click.command(no_args_is_help=True)
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="FILE.parquet")
@click.option("--model", "model_name", metavar="NAME", help="Whose vectors [default: the library's own model].")
@click.option("--no-vectors", is_flag=True, help="Leave the vectors out.")
@click.option("--clip-retrieval", "folder", metavar="DIR", type=click.Path(path_type=Path), help="As it writes them.")
@library_option
def command(
    file: Path | None, model_name: str | None, no_vectors: bool, folder: Path | None, library_path: Path | None
) -> int:
    """Export the photos: one row each with path, captions, keywords, what the camera wrote, and its vector.

    pandas, Hugging Face datasets and Lance read FILE.parquet; `vlsearch import-vectors` makes a library of it again.
    With --clip-retrieval, a folder of img_emb/*.npy and metadata/*.parquet is written instead, or as well.

    \b
      vlsearch export photos.parquet
      vlsearch export --clip-retrieval embeddings/
    """
    from vlsearch.errors import UsageError
    from vlsearch.ingest.photo_export import export_clip_retrieval, export_parquet
    from vlsearch.library import open_library

    if file is None and folder is None:
        raise UsageError("say where to: FILE.parquet, or --clip-retrieval DIR")
    if file is not None and file.suffix.lower() != ".parquet":
        raise UsageError(
            f"the name of {str(file)!r} should end in .parquet; `vlsearch captions export` writes captions"
        )
    if no_vectors and (folder is not None or model_name is not None):
        raise UsageError("--no-vectors goes with neither --model nor --clip-retrieval, which are about vectors")
    with open_library(library_path) as library:
        model = library.model(model_name)
        if file is not None:
            count = export_parquet(library, file, None if no_vectors else model)
            click.echo(f"{count:,} photos written to {printable(str(file))}")
        if folder is not None:
            count = export_clip_retrieval(library, folder, model)
            click.echo(f"{count:,} photos written to {printable(str(folder))}")
    return 0
