"""`vlsearch import-vectors`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress, warn

SHOWN_FAILURES = 5


@click.command(no_args_is_help=True)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--model", "model_name", metavar="NAME", required=True, help="The model that made them, as ARCH/tag.")
@click.option("--dim", type=click.IntRange(min=1), metavar="N", help="Refuse vectors of other dimensions.")
@click.option("--images", metavar="DIR", type=click.Path(path_type=Path), help="Where the photos are.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@library_option
def command(
    files: tuple[Path, ...],
    model_name: str,
    dim: int | None,
    images: Path | None,
    as_json: bool,
    library_path: Path | None,
) -> int:
    """Make photos searchable by vectors that exist already; no model runs. Run again, it adds nothing twice.

    FILE is a folder of clip-retrieval (img_emb/*.npy, metadata/*.parquet) or one of its .npy; an .npz with arrays such
    as embeddings and paths (or ids, which a .jsonl beside it explains); or Parquet with a column of vectors and one of
    paths or keys. Captions in it are taken too. That the vectors are --model's is taken on your word.

    \b
      vlsearch import-vectors embeddings/ --model ViT-B-32/openai --images ~/photos
      vlsearch import-vectors photos.parquet --model ViT-L-14/laion2b_s32b_b82k
    """
    from vlsearch.errors import UsageError
    from vlsearch.ingest.vector_files import open_files
    from vlsearch.ingest.vector_import import import_vectors
    from vlsearch.library import open_library

    if images is not None and not images.is_dir():
        raise UsageError(f"no such folder: {images}")
    sources = open_files(files)
    with open_library(library_path, write=True, create=True) as library, progress() as show:
        summary = import_vectors(library, sources, model_name, dim=dim, images=images, progress=show)
    for what, reason in summary.failures[:SHOWN_FAILURES]:
        warn(f"cannot take {what}: {reason}; skipped")
    if summary.failed > SHOWN_FAILURES:
        warn(f"and {summary.failed - SHOWN_FAILURES:,} more")
    if as_json:
        print_json(summary.to_dict())
    else:
        click.echo(str(summary))
    return 1 if summary.failed else 0
