"""`vlsearch describe`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from vlsearch.cli.printing import print_json, progress, warn
from vlsearch.printable import printable

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command(no_args_is_help=True)
@click.option("--labels", "labels_file", metavar="FILE", type=click.Path(path_type=Path), required=True)
@click.option(
    "--endpoint", metavar="URL", required=True, help="Up to /chat/completions, as in http://localhost:8080/v1."
)
@click.option(
    "--model", "model_name", metavar="NAME", required=True, help="Which language model the endpoint is to ask."
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Descriptions, as JSON.")
@click.option(
    "--answers",
    "answers_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="All answers, so that none is asked for twice [default: OUT.answers.json].",
)
@click.option(
    "--questions",
    "questions_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Questions, one a line with {} for the label [default: the paper's five].",
)
@click.option("--n", "n", type=click.IntRange(1, 100), default=10, show_default=True, help="Answers to each question.")
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.99, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: labels, asked, failed, left.")
def command(
    labels_file: Path,
    endpoint: str,
    model_name: str,
    out: Path,
    answers_file: Path | None,
    questions_file: Path | None,
    n: int,
    temperature: float,
    timeout: float,
    as_json: bool,
) -> int:
    """Have a language model describe labels, for `vlsearch tag --descriptions`.

    The endpoint is any that speaks OpenAI's chat completions: a provider's, or a server on this machine. The key is
    read from VLSEARCH_API_KEY or OPENAI_API_KEY. Only the labels go out, no photo. Every answer is kept as it comes:
    the same command goes on where it was stopped, and asks nothing twice. Both files can be committed, and what is in
    OUT can be edited.

    \b
      vlsearch describe --labels labels.txt --endpoint http://localhost:8080/v1 --model qwen3 --out descriptions.json
      vlsearch tag --labels labels.txt --descriptions descriptions.json
    """
    from vlsearch.search.chat import Chat, key_from_environment
    from vlsearch.search.describe import QUESTIONS, Answers, describe, read_questions, write_json
    from vlsearch.search.labels import read_labels
    from vlsearch.search.prompts import load_descriptions

    labels = read_labels(labels_file)
    questions = read_questions(questions_file) if questions_file else QUESTIONS
    chat = Chat(endpoint, model_name, temperature, timeout, key_from_environment())
    answers = Answers(answers_file or out.with_name(f"{out.name.removesuffix('.json')}.answers.json"))
    descriptions = load_descriptions(out) if out.exists() else {}
    before = {label: list(texts) for label, texts in descriptions.items()}
    parts = urlsplit(endpoint)
    if chat.key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        warn(f"the key goes to {parts.hostname} unencrypted; an https endpoint would keep it to itself")
    try:
        with progress() as show:
            result = describe(
                labels,
                chat,
                answers,
                descriptions,
                questions=questions,
                n=n,
                failed=lambda label, why: warn(f"{label}: {why}"),
                done=lambda count: show("labels", count, len(labels)),
            )
    finally:
        if descriptions != before:
            write_json(out, descriptions)
    if result.left:
        warn(f"the endpoint failed {len(result.failed)} times; {result.left:,} labels were not asked about")
    if as_json:
        print_json({"labels": result.labels, "asked": result.asked, "failed": result.failed, "left": result.left})
    else:
        click.echo(
            f"{result.labels:,} of {len(labels):,} labels have descriptions in {printable(str(out))}; "
            f"{result.asked:,} questions asked"
        )
    return 1 if result.failed or result.left else 0
