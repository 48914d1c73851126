"""`vlsearch completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Completion of commands, options and their values for a shell.

    Put one of these where the shell starts:

    \b
      ~/.bashrc   eval "$(vlsearch completion bash)"
      ~/.zshrc    eval "$(vlsearch completion zsh)"       (after compinit)
      fish        vlsearch completion fish > ~/.config/fish/completions/vlsearch.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, "vlsearch", "_VLSEARCH_COMPLETE").source())
    return 0


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For `shell_complete` of a parameter that takes files and is no click.Path, as it takes patterns or URLs too."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]
