from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vlsearch.search.engine import Hit
from vlsearch.search.hits import Hits


def test_a_notebook_shows_the_photos(photos: Callable[..., Path]) -> None:
    paths = sorted(photos(2).iterdir())
    hits = Hits([Hit(1, 0.25, str(paths[0]), 1, ('a "dog" <b>',)), Hit(2, None, str(paths[1]), 2)])
    page = hits._repr_html_()
    assert page.count("data:image/jpeg;base64,") == page.count("<figure") == 2
    assert "1 · 0.250 · 00000.jpg" in page
    assert "2 · 00001.jpg" in page
    assert 'alt="a &quot;dog&quot; &lt;b&gt;"' in page


def test_photos_that_are_gone_and_no_photos(tmp_path: Path) -> None:
    page = Hits([Hit(1, 0.5, str(tmp_path / "<gone>.jpg"), 1)])._repr_html_()
    assert "no such file" in page
    assert "<gone>" not in page
    assert Hits()._repr_html_() == "<p>nothing found</p>"


def test_it_is_a_list() -> None:
    hit = Hit(1, 0.5, "a.jpg", 1)
    assert Hits([hit]) == [hit]
    assert [h.path for h in Hits([hit])] == ["a.jpg"]
