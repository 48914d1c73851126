"""What a choice task found (tasks B and C): how often the true text, or the true photo, scores highest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ChoiceResult:
    """One metric of one split. Values, intervals and chance are fractions, 0 to 1."""

    task: str
    """the dataset: "sugarcrepe", "vg-relation", …; "order" for the library's own captions"""
    split: str
    """"add_att", a relation, …; "all" for the whole task"""
    metric: str
    """"accuracy", "macro accuracy" (over relations, attributes), "text score", "image score", "group score", "auc\""""
    value: float
    low: float
    high: float
    """95 % interval: Wilson for accuracies and scores, bootstrap over photos for macro accuracy and auc"""
    n: int
    """items; those of one seed where perturbations made them, since other seeds ask about the same captions"""
    chance: float
    blind: float | None
    """the same metric of an n-gram model of captions, held out, that never sees the photo; None where a text alone
    decides nothing"""
    bag_of_words: float | None
    """the same metric of the same model on alphabetically sorted words, where ties are wrong; None for photos"""
    ties: int
    """items, of all seeds together, whose true text or photo shares its score with a false one; these are wrong, but
    for the auc, where each such pair counts half as its definition has it"""
    detectable: float
    """the smallest distance from chance that so many items would have shown in 8 of 10 cases"""


@dataclass(frozen=True)
class ChoiceReport:
    model: str
    fingerprint: str
    subject: str
    """the dataset's name, or "library\""""
    part: str
    """"" for the whole of it, else what was left out: "296 of 7,511 items whose photos are there\""""
    items: int
    photos: int
    seeds: int
    """of the perturbations that made the false texts; 0 where a dataset brings them"""
    unperturbable: int
    """items left out because a perturbation cannot change their caption"""
    truncated: int
    """distinct texts beyond the model's context, whose end it never sees"""
    left_out: tuple[str, ...]
    """what the task leaves out by its definition, such as symmetric relations, one line each"""
    results: tuple[ChoiceResult, ...]
    task: Literal["choice"] = "choice"

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object; the keys are the names of the fields."""
        return asdict(self)

    def finding(self) -> str:
        """One plain sentence: how often the model chooses right, beside chance and beside a model that is blind."""
        whole = [r for r in self.results if r.split == "all"]
        told = [r for r in whole if r.metric == "macro accuracy"] or whole or list(self.results)
        if not told:
            return "There was nothing to choose between."
        sentence = "; ".join(_clause(r) for r in told) + "."
        return sentence[0].upper() + sentence[1:]


_OF = {
    "accuracy": "accuracy between texts",
    "macro accuracy": "macro accuracy between texts",
    "text score": "text score (the right text for each of two photos)",
    "image score": "image score (the right photo for each of two texts)",
    "group score": "group score (both)",
    "auc": "AUC of true against false statements",
}


def _clause(r: ChoiceResult) -> str:
    figure = f"{_OF.get(r.metric, r.metric)} is {_percent(r.value)} ({_percent(r.low)} to {_percent(r.high)} at 95 %)"
    if r.low > r.chance:
        against = f"better than guessing ({_percent(r.chance)})"
    elif r.high < r.chance:
        against = f"worse than guessing ({_percent(r.chance)})"
    else:
        against = f"not to be told from guessing ({_percent(r.chance)})"
    if r.blind is None:
        return f"{figure}, {against}"
    seen = "more" if r.low > r.blind else "less" if r.high < r.blind else "no more for certain"
    return f"{figure}, {against}, and {seen} than a model that never sees the photo ({_percent(r.blind)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
