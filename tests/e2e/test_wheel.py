"""The package as users get it: built, installed, run from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = "import sys; from vlsearch.cli import main; sys.argv[0] = 'vlsearch'; main()"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout gets no build folder."""
    source = tmp_path_factory.mktemp("source")
    for name in ("vlsearch", "index", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = built.glob("vlsearch-*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel installed, and what it depends on borrowed from this one; no checkout in sight."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(place), "platbase": str(place)})
    site = Path(paths["purelib"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    # a folder named in a .pth file is put on the path, its own .pth files (the editable install) are not read
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Path(paths["scripts"]) / "python"


def test_what_lies_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        file.relative_to(ROOT).as_posix() for file in (ROOT / "vlsearch").rglob("*") if file.suffix in (".py", ".toml")
    }
    modules |= {f"vlsearch/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "migrations").rglob("*.py")}
    modules |= {f"vlsearch/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "index").rglob("*.toml")}
    templates = {file.relative_to(ROOT).as_posix() for file in (ROOT / "vlsearch").rglob("*.html")}
    builtin = {
        f"vlsearch/encoders/{folder}/open_clip_{name}"
        for folder in ("builtin", "builtin_neg")
        for name in ("config.json", "model.safetensors")
    }
    assert modules | templates | builtin <= names
    assert not [name for name in names if name.startswith(("tests", "bin", "docs")) or "__pycache__" in name]
    assert any(name.endswith("entry_points.txt") for name in names)


def test_the_main_job_from_another_directory(python: Path, photos: Callable[..., Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = photos(4)
    lines = [f"{file},a small picture number {n} of many squares" for n, file in enumerate(sorted(folder.iterdir()))]
    (elsewhere / "captions.csv").write_text("\n".join(["path,caption", *lines]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*arguments: str | Path, code: str = RUN) -> str:
        done = subprocess.run(
            [python, "-c", code, *map(str, arguments)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import sys, vlsearch, vlsearch.migrations, vlsearch.index; "
    files = run(code=where + "print(vlsearch.__file__, vlsearch.migrations.__file__, vlsearch.index.__file__)").split()
    assert all(Path(file).is_relative_to(python.parent.parent) for file in files), files
    assert "__editable__" not in run(code=where + "print(sys.meta_path)")
    summary = json.loads(run("ingest", folder, "--model", "builtin", "--json"))
    assert (summary["added"], summary["failed"]) == (4, 0)
    assert run("captions", "import", "captions.csv").startswith("4 captions of 4 photos")
    hits = [json.loads(line) for line in run("query", "coloured squares", "--json").splitlines()]
    assert sorted(hit["path"] for hit in hits) == sorted(str(file) for file in folder.iterdir())
    report = json.loads(run("audit", "--perturb", "shuffle", "--json", "-k", "1", "--seeds", "1"))
    assert (report["model"], report["photos"], report["captions"]) == ("builtin", 4, 4)
    assert run("verify").endswith("is clean\n")
