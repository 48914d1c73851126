from __future__ import annotations

import errno
import itertools
import logging
import queue
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import vlsearch.ingest.changes as changes_module
import vlsearch.ingest.watch as watch_module
from vlsearch.errors import LibraryError, LibraryLocked, ModelUnavailable, UsageError
from vlsearch.ingest.changes import MANY, Changes, cover
from vlsearch.ingest.watch import watch

DEADLINE = 10.0
QUIET = 150  # ms

Runs = Callable[..., "Watched"]


class Watched:
    """A watch in a thread; `next` waits for its next run."""

    def __init__(self, *roots: Path, outcomes: Sequence[BaseException | None] = (), **options: Any) -> None:
        self.stop = threading.Event()
        self.runs: queue.Queue[list[Path]] = queue.Queue()
        self.hold = threading.Event()
        self.hold.set()
        self.outcomes = list(outcomes)
        self.error: BaseException | None = None
        options = {"debounce_ms": QUIET, **options}
        self.thread = threading.Thread(target=self._go, args=(roots, options))
        self.thread.start()

    def _go(self, roots: Sequence[Path], options: dict[str, Any]) -> None:
        try:
            watch(roots, self.run, stop=self.stop, **options)
        except BaseException as error:
            self.error = error

    def run(self, places: Sequence[Path]) -> None:
        self.runs.put(list(places))
        assert self.hold.wait(DEADLINE)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    def next(self) -> list[Path]:
        return self.runs.get(timeout=DEADLINE)

    def quiet(self, seconds: float = 0.6) -> bool:
        """Whether no run comes in that time."""
        try:
            self.runs.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def end(self) -> None:
        self.hold.set()
        self.stop.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr(watch_module, "TICK", 0.02)
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.1)
    made: list[Watched] = []

    def start(*roots: Path, **options: Any) -> Watched:
        made.append(Watched(*roots, **options))
        return made[-1]

    yield start
    for each in made:
        each.end()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """photos/1.jpg, photos/a/2.jpg, photos/a/b/3.jpg, photos/c/4.jpg"""
    made = tmp_path / "photos"
    for name in ("1.jpg", "a/2.jpg", "a/b/3.jpg", "c/4.jpg"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"photo")
    return made


@pytest.fixture
def follows(watched: Runs, root: Path) -> Watched:
    """A watch of `root` whose first run is over."""
    started = watched(root)
    assert started.next() == [root]
    return started


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


# What a change brings about


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (lambda r: (r / "c/new.JPG").write_bytes(b"x"), ["c"]),
        (lambda r: (r / "a/b/3.jpg").write_bytes(b"other"), ["a/b"]),
        (lambda r: (r / "a/b/3.jpg").unlink(), ["a/b"]),
        (lambda r: (r / "a/b/3.jpg").rename(r / "a/b/4.jpg"), ["a/b"]),
        (lambda r: (r / "a/b/3.jpg").rename(r / "c/3.jpg"), ["a/b", "c"]),
        (lambda r: (r / "a/2.jpg").rename(r / "a/b/2.jpg"), ["a"]),
        (lambda r: (r / "1.jpg").unlink(), ["."]),
        (lambda r: (r / "a/b").rename(r / "c/d"), ["a", "c/d"]),
        (lambda r: (r / "a/b").rename(r / ".hidden"), ["a"]),
        (lambda r: (r / "c").rename(r.parent / "2019"), ["."]),
        (lambda r: shutil.rmtree(r / "a/b"), ["a"]),
        (lambda r: (r / "c/d/e").mkdir(parents=True), ["c/d"]),
    ],
    ids=[
        *("created", "changed", "deleted", "renamed", "moved", "moved down", "deleted at the top"),
        *("folder moved", "folder hidden", "folder gone", "folder deleted", "folders made"),
    ],
)
def test_a_change(follows: Watched, root: Path, change: Callable[[Path], Any], places: list[str]) -> None:
    change(root)
    assert follows.next() == [root / place for place in places]
    assert follows.quiet(0.3)


def test_a_folder_that_is_moved_in(follows: Watched, root: Path) -> None:
    outside = root.parent / "trip"
    outside.mkdir()
    (outside / "5.jpg").write_bytes(b"x")
    outside.rename(root / "a" / "trip")
    assert follows.next() == [root / "a" / "trip"]
    (root / "a/trip/6.jpg").write_bytes(b"x")
    assert follows.next() == [root / "a" / "trip"]


def test_what_a_scan_passes_over_is_no_change(follows: Watched, root: Path) -> None:
    (root / "a/notes.txt").write_text("x")
    (root / "a/.new.jpg").write_bytes(b"x")
    (root / ".thumbs").mkdir()
    (root / ".thumbs/1.jpg").write_bytes(b"x")
    (root / "@eaDir").mkdir()
    (root / "@eaDir/1.jpg").write_bytes(b"x")
    assert follows.quiet()


def test_a_library_among_the_photos_is_no_change(watched: Runs, root: Path) -> None:
    from vlsearch.library import open_library

    open_library(root / "library", write=True, create=True).close()
    follows = watched(root)
    follows.next()
    with open_library(root / "library", write=True) as library:
        (library.path / "vectors" / "1").mkdir(parents=True)
        (library.path / "vectors" / "1" / "x.jpg").write_bytes(b"x")
    shutil.rmtree(root / "library" / "vectors")
    assert follows.quiet()


def test_excluded_is_no_change_and_other_changes_take_the_root(watched: Runs, root: Path) -> None:
    follows = watched(root, exclude=["b", "c/*.jpg", "*.gif"])
    follows.next()
    (root / "a/b/new.jpg").write_bytes(b"x")
    (root / "c/new.jpg").write_bytes(b"x")
    (root / "a/new.gif").write_bytes(b"x")
    assert follows.quiet()
    (root / "a/new.jpg").write_bytes(b"x")
    assert follows.next() == [root]


def test_links(watched: Runs, root: Path) -> None:
    (root / "album").symlink_to(root / "a" / "b")
    (root / "c" / "best").symlink_to(root / "a")
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (root / "far").symlink_to(outside)
    follows = watched(root)
    follows.next()
    (root / "album" / "new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "a" / "b"]
    (root / "far" / "new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "far"]
    (root / "c" / "new.jpg").write_bytes(b"x")
    assert follows.next() == [root], "a scan of c alone would find a/ at another path than a scan of all"


def test_a_burst_is_few_runs(follows: Watched, root: Path) -> None:
    for n in range(500):
        (root / "a" / f"{n:03d}.jpg").write_bytes(b"x" * n)
    runs = [follows.next()]
    while not follows.runs.empty() or not follows.quiet(0.5):
        runs.append([root / "a"])
    assert 1 <= len(runs) <= 3
    assert runs[0] == [root / "a"]


def test_many_folders_become_the_root(follows: Watched, root: Path) -> None:
    follows.hold.clear()
    (root / "1.jpg").unlink()
    assert follows.next() == [root]
    for n in range(MANY + 5):
        (root / "a" / f"{n}").mkdir()
    follows.hold.set()
    (place,) = follows.next()
    assert place == root


def test_changes_during_a_run_are_not_lost(follows: Watched, root: Path) -> None:
    follows.hold.clear()
    (root / "a/new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "a"]
    (root / "c/new.jpg").write_bytes(b"x")
    follows.hold.set()
    assert follows.next() == [root / "c"]


def test_changes_during_the_first_run_are_not_lost(watched: Runs, root: Path) -> None:
    follows = watched(root)
    follows.hold.clear()
    assert follows.next() == [root]
    (root / "c/new.jpg").write_bytes(b"x")
    follows.hold.set()
    assert follows.next() == [root / "c"]


def test_two_roots_and_one_inside(watched: Runs, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    follows = watched(root, other, root / "a")
    assert follows.next() == [root, other, root / "a"]
    (other / "x.jpg").write_bytes(b"x")
    (root / "a/b/x.jpg").write_bytes(b"x")
    assert follows.next() == [other, root / "a/b"]


def test_a_file_as_root(watched: Runs, root: Path) -> None:
    follows = watched(root / "1.jpg")
    assert follows.next() == [root / "1.jpg"]
    (root / "new.jpg").write_bytes(b"x")
    assert follows.quiet(0.3)
    (root / "1.jpg").write_bytes(b"another")
    assert follows.next() == [root / "1.jpg"]


# Debouncing, and bounded memory


def test_it_waits_until_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(changes_module.time, "monotonic", lambda: now)
    changes = Changes(["/r"], 2.0)
    assert not changes.due()
    changes.add(["/r/a"])
    now = 101.5
    assert not changes.due()
    changes.add(["/r/b"])
    now = 103.0
    assert not changes.due()
    now = 103.6
    assert changes.due()
    assert changes.take() == ["/r/a", "/r/b"]
    assert not changes.due()
    for _ in range(21):
        changes.add(["/r/a"])
        now += 1.0
    assert changes.due(), "what never stops has to be looked at some day"


def test_a_pause_ends_with_the_next_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(changes_module.time, "monotonic", lambda: now)
    changes = Changes(["/r"], 2.0)
    changes.add(["/r/a"], pause=60.0)
    now = 159.0
    assert not changes.due()
    now = 160.1
    assert changes.due()
    changes.take()
    changes.add(["/r/a"], pause=60.0)
    changes.add(["/r/b"])
    now += 2.1
    assert changes.due()


def test_memory_is_bounded() -> None:
    changes = Changes(["/r", "/s"], 0.0)
    for n in range(10_000):
        changes.add([f"/r/{n % 100}/{n}"])
        assert len(changes._folders) <= MANY
    assert changes.take() == ["/r"]


def test_a_flood_takes_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More changes than the system keeps: some of them may be missing from the report."""
    import watchfiles

    flood = {(watchfiles.Change.added, str(root / "a" / f"{n}.jpg")) for n in range(5_000)}
    monkeypatch.setattr(watchfiles, "watch", lambda *_, **__: iter([set(), flood]))
    changes = Changes([str(root)], 0.0)
    changes_module.Listener(str(root), changes, ()).end()
    assert changes.take() == [str(root)]


def test_cover() -> None:
    assert cover([]) == []
    assert cover(["/a b", "/a", "/a/b", "/b/c", "/a-b/x", "/b/c/d"]) == ["/a", "/a b", "/a-b/x", "/b/c"]
    assert cover(["/x", "/"]) == ["/"]


# What goes wrong


def test_a_run_that_fails_is_tried_again(
    watched: Runs, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.3)
    full = OSError(errno.ENOSPC, "No space left on device")
    outcomes = [None, LibraryLocked("process 7 is writing"), LibraryLocked("process 7 is writing"), full]
    follows = watched(root, outcomes=outcomes)
    follows.next()
    (root / "c/new.jpg").write_bytes(b"x")
    assert [follows.next() for _ in range(4)] == [[root / "c"]] * 4
    assert follows.quiet()
    said = warnings(caplog)
    assert len(said) == 2, "the same trouble is told once"
    assert said[0] == "process 7 is writing; trying again at the next change, or in a minute"
    assert "No space left" in said[1]


def test_a_run_that_fails_is_tried_again_with_the_next_change(
    watched: Runs, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follows = watched(root, outcomes=[None, ModelUnavailable("no weights")])
    follows.next()
    (root / "c/new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "c"]
    assert follows.quiet(0.3)
    (root / "a/new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "a", root / "c"]
    assert len(warnings(caplog)) == 1


def test_a_first_run_that_finds_the_library_locked(
    watched: Runs, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.2)
    locked = [LibraryLocked("process 7 is writing"), LibraryError("cannot write")]
    follows = watched(root, root / "1.jpg", outcomes=locked)
    assert [follows.next() for _ in range(3)] == [[root, root / "1.jpg"], [root], [root]]
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize("error", [UsageError("no such folder"), ModelUnavailable("no weights"), KeyError("a bug")])
def test_a_first_run_that_cannot_succeed(watched: Runs, root: Path, error: Exception) -> None:
    follows = watched(root, outcomes=[error])
    follows.thread.join(DEADLINE)
    assert follows.error is error


def test_a_root_that_vanishes_and_comes_back(follows: Watched, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = root.rename(root.parent / "away")
    wait_for(lambda: len(warnings(caplog)) == 1)
    assert warnings(caplog)[0].startswith(f"{root} is gone (is its drive unplugged?)")
    assert follows.quiet(0.3)
    away.rename(root)
    assert follows.next() == [root]
    assert warnings(caplog)[1:] == [f"{root} is back"]
    (root / "c/new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "c"], "it is heard of again"


def test_the_other_root_goes_on(watched: Runs, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / "other"
    other.mkdir()
    follows = watched(root, other)
    follows.next()
    follows.hold.clear()
    (root / "a/new.jpg").write_bytes(b"x")
    follows.next()
    (root / "c/new.jpg").write_bytes(b"x")
    (other / "new.jpg").write_bytes(b"x")
    root.rename(tmp_path / "away")
    follows.hold.set()
    assert follows.next() == [other]
    assert len(warnings(caplog)) == 1


def test_the_mount_point_of_an_unplugged_drive(root: Path, tmp_path: Path) -> None:
    empty = tmp_path / "mount point"
    empty.mkdir()
    device = root.stat().st_dev
    assert watch_module._identity(str(empty), device) is not None, "somebody emptied it"
    assert watch_module._identity(str(empty), device + 1) is None
    assert watch_module._identity(str(root), device + 1) is not None, "drives come back under other numbers"
    assert watch_module._identity(str(tmp_path / "nowhere"), None) is None


def test_a_folder_put_in_place_of_a_root(follows: Watched, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    new = root.parent / "new"
    new.mkdir()
    follows.hold.clear()
    (root / "a/new.jpg").write_bytes(b"x")
    follows.next()
    root.rename(root.parent / "old")
    new.rename(root)
    follows.hold.set()
    assert follows.next() == [root]
    (root / "5.jpg").write_bytes(b"x")
    assert follows.next() == [root]
    assert warnings(caplog) == []


def test_the_systems_limit_of_watches(
    watched: Runs, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import watchfiles

    real = watchfiles.watch

    def limited(*args: Any, force_polling: bool | None, **options: Any) -> Any:
        if not force_polling:
            raise RuntimeError("OS file watch limit reached.")
        return real(*args, force_polling=True, **options)

    monkeypatch.setattr(watchfiles, "watch", limited)
    monkeypatch.setattr(changes_module, "POLL_MS", 50)
    follows = watched(root)
    follows.next()
    assert follows.next() == [root], "for what was not heard before"
    (line,) = warnings(caplog)
    assert line.startswith(f"the system cannot watch all folders of {root} (OS file watch limit reached.)")
    (root / "c/new.jpg").write_bytes(b"x")
    assert follows.next() == [root / "c"]


# The end


def test_a_stopped_watch_leaves_no_thread(watched: Runs, root: Path) -> None:
    before = threading.active_count()
    follows = watched(root)
    follows.next()
    began = time.monotonic()
    follows.end()
    assert time.monotonic() - began < 2
    assert follows.error is None
    assert threading.active_count() == before


@pytest.mark.parametrize(("busy", "code"), [(False, 0), (True, 7)])
def test_ctrl_c(root: Path, busy: bool, code: int) -> None:
    program = f"""
        import signal, sys, time
        from pathlib import Path
        from vlsearch.ingest.watch import watch
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        def run(places):
            print("run", flush=True)
            if {busy}:
                time.sleep(20)
        try:
            watch([Path({str(root)!r})], run)
        except KeyboardInterrupt:
            sys.exit(7)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "run\n"
        time.sleep(0.3)  # a run that returns at once is over
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert (process.returncode, err) == (code, "")


def test_a_real_ingest_follows(library: Any, encoder: Any, photos: Callable[..., Path]) -> None:
    from vlsearch.ingest.pipeline import ingest

    folder, more = photos(3), photos(2, "more", seed=1)
    names = itertools.count()
    library.close()

    class Ingesting(Watched):
        def run(self, places: Sequence[Path]) -> None:
            from vlsearch.library import open_library

            with open_library(library.path, write=True) as opened:
                ingest(opened, places, encoder.name, lambda: encoder)
                with opened.read() as c:
                    from vlsearch.catalog import queries

                    self.runs.put([Path(path) for path in queries.contents_by_path(c)])

    follows = Ingesting(folder)
    try:
        assert len(follows.next()) == 3
        for file in sorted(more.iterdir()):
            file.rename(folder / f"new {next(names)}.jpg")
        assert len(follows.next()) == 5
        (folder / "00000.jpg").unlink()
        (folder / "00001.jpg").rename(folder / "other.jpg")
        paths = follows.next()
        assert {path.name for path in paths} == {"00002.jpg", "other.jpg", "new 0.jpg", "new 1.jpg"}
    finally:
        follows.end()
    assert follows.error is None
