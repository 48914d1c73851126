"""Who may import whom, and what must not be imported before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vlsearch"
HEAVY = ("torch", "open_clip", "faiss", "pyarrow", "sqlalchemy", "matplotlib", "numpy", "scipy", "PIL", "rich")

SLOW = ("torch", "open_clip", "sqlalchemy", "pyarrow", "scipy", "PIL", "rich", "jinja2")

LAYERS = (
    {"__main__"},
    {"cli"},
    {"api", "daemon"},
    {"check"},
    {"train"},
    {"audit", "ingest", "search"},
    {"optimize"},
    {"library"},
    {"vectors", "catalog", "encoders", "lock"},
    {"index", "migrations"},
    {"errors", "printable", "memory", ""},
)
"""Top first: a module imports from its own part or from layers below. "" is vlsearch/__init__.py, which names the
public API of every part without importing any of it (test_public.py)."""

ALSO = {
    ("audit", "ingest"): "photos of datasets, and perturbed ones, are decoded as ingested ones are",
    ("search", "ingest"): "a photo that is asked with is decoded as an ingested one is",
    ("search", "audit"): "words are moved and intervals drawn as in an audit",
    ("migrations", "catalog"): "Alembic compares with the tables",
}
"""Importing part, imported part -> why these may look beside or above themselves."""


def part_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def level(part: str) -> int:
    return next(n for n, layer in enumerate(LAYERS) if part in layer)


def imported(tree: ast.AST, file: Path) -> Iterator[str]:
    """Every vlsearch part that a module imports: at its top, in functions, and for type checking."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            names = [a.values[0].value for a in node.args if isinstance(a, ast.JoinedStr)]  # type: ignore[attr-defined, misc]
            names = [name for name in names if isinstance(name, str)]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "vlsearch":
                part = rest.partition(".")[0]
                yield part if part and any(part in layer for layer in LAYERS) else ""


def offences(file: Path, source: str) -> list[str]:
    own = part_of(file)
    return [
        f"{file.name} ({own}) imports {part or 'vlsearch'}"
        for part in imported(ast.parse(source), file)
        if part != own and level(part) <= level(own) and (own, part) not in ALSO
    ]


def modules() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


def test_every_part_has_its_layer() -> None:
    parts = {part_of(file) for file in PACKAGE.rglob("*.py")}
    assert parts <= set().union(*LAYERS), "give the new part its place in LAYERS"


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    assert offences(file, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("catalog/tables.py", "from vlsearch.library import Library"),
        ("library.py", "def f():\n    from vlsearch.search import engine"),
        ("ingest/scan.py", "if TYPE_CHECKING:\n    import vlsearch.cli.query"),
        ("vectors/store.py", "from vlsearch.catalog import queries"),
        ("ingest/scan.py", "from vlsearch import audit"),
        ("errors.py", "import vlsearch.encoders.base"),
    ],
)
def test_an_import_that_points_up_is_seen(file: str, source: str) -> None:
    assert len(offences(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    "start",
    [
        "import vlsearch, vlsearch.cli",
        "import sys; sys.argv = ['vlsearch', '--help']; from vlsearch.cli import main; main()",
        "import vlsearch.errors, vlsearch.library, vlsearch.encoders.base, vlsearch.encoders.registry",
    ],
    ids=["import", "help", "library"],
)
def test_nothing_heavy_is_imported_before_it_is_used(start: str) -> None:
    report = f"import sys, atexit; atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules])); {start}"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_query_from_the_shell_imports_no_torch(photos: Callable[..., Path], tmp_path: Path) -> None:
    """The ingest has exported the text tower; the catalog is read without SQLAlchemy, shards not at all."""

    def run(*arguments: str) -> list[str]:
        report = (
            "import sys; from vlsearch.cli import run; code = run(sys.argv[1:]); "
            f"print([m for m in {SLOW} if m in sys.modules]); sys.exit(code)"
        )
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-c", report, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout.splitlines()

    run("ingest", str(photos(3)), "--model", "builtin")
    *hits, imported = run("query", "a red square + stripes", "--where", "width > 3")
    assert len(hits) == 3
    assert imported == "[]"
    assert "torch" in run("query", "a red square", "--like", str(tmp_path / "photos" / "00000.jpg"))[-1]


def test_public_names_are_imported_lazily_but_found() -> None:
    report = "import sys, vlsearch; vlsearch.Hit; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    "name", ["ingest", "query", "tag", "describe", "audit", "captions", "info", "forget", "verify", "repair", "daemon"]
)
def test_help_of_a_command_imports_no_model(name: str) -> None:
    report = (
        f"import sys, atexit; atexit.register(lambda: print('torch' in sys.modules, 'sqlalchemy' in sys.modules)); "
        f"sys.argv = ['vlsearch', {name!r}, '--help']; from vlsearch.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert done.stdout.startswith(f"Usage: vlsearch {name}") or done.stdout.startswith("Usage: -c")
