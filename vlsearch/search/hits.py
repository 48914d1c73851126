"""What a search answers, as a list that a notebook shows as pictures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.search.engine import Hit

    HitList = list[Hit]
else:
    HitList = list

FIGURE = (
    '<figure style="display:inline-block;margin:4px;width:180px;vertical-align:top">{picture}'
    '<figcaption style="font-size:12px;overflow-wrap:anywhere">{text}</figcaption></figure>'
)


class Hits(HitList):
    """A list of `Hit`, best first. In a notebook its photos are shown, each with rank, score and file name."""

    def _repr_html_(self) -> str:
        return "".join(self._figure(hit) for hit in self) or "<p>nothing found</p>"

    @staticmethod
    def _figure(hit: Hit) -> str:
        from vlsearch.search.sheet import tile

        photo = tile(hit.path)
        score = "" if hit.score is None else f" · {hit.score:.3f}"
        text = escape(f"{hit.rank}{score} · {photo.name}")
        if not photo.data:
            return FIGURE.format(picture=f"<p>{escape(photo.reason)}</p>", text=text)
        about = escape(printable(hit.captions[0] if hit.captions else photo.name), quote=True)
        return FIGURE.format(picture=f'<img style="max-width:100%" src="{photo.data}" alt="{about}">', text=text)
