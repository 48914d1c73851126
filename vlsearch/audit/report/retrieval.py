"""What an audit found: figures for programs (`to_dict`) and a sentence for people (`finding`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vlsearch.audit.perturb import lookup

Direction = Literal["text_to_image", "image_to_text"]


@dataclass(frozen=True)
class Result:
    """Recall@k of one direction under one perturbation. Recall, drop, interval and chance are fractions, 0 to 1."""

    direction: Direction
    perturbation: str
    control: bool
    """runs beside what was asked for: "identity" (nothing moves) and "sort" (a bag of words by construction)"""
    k: int
    clean: float
    perturbed: float
    """mean over the seeds"""
    drop: float
    """clean - perturbed"""
    low: float
    high: float
    """95 % interval of the drop, bootstrap over photos and seeds"""
    relative_drop: float | None
    """drop / clean; None when clean is 0"""
    order_sensitivity: float | None
    """drop / (clean - chance): 0 for a bag of words, 1 for a model that needs the order; None when clean is no better
    than chance"""
    detectable: float
    """the smallest drop that this audit would have told from 0 in 8 of 10 cases"""
    p: float
    """paired permutation test of the drop against 0"""
    p_holm: float | None
    """p corrected for the number of perturbations in this audit; None for a control"""
    seed_spread: float | None
    """standard deviation of the drop over the seeds; None with one seed"""
    unperturbable: int
    """captions that the perturbation cannot change; 0 for the control "identity" and for perturbed photos"""
    effective_clean: float | None
    effective_perturbed: float | None
    effective_drop: float | None
    """without the unperturbable captions among the queries (image to text: without the photos that have no others);
    the gallery stays whole. None when nothing is left"""
    queries: int
    ties: int
    """queries of the perturbed runs, of all seeds together, whose true item shares its score with a competitor"""
    ties_clean: int
    """the same in the clean run"""
    chance: float


@dataclass(frozen=True)
class RankSummary:
    """Mean reciprocal rank and median rank of one direction under one perturbation, over all queries and seeds."""

    direction: Direction
    perturbation: str
    mrr_clean: float
    mrr_perturbed: float
    mrr_chance: float
    median_rank_clean: float
    median_rank_perturbed: float
    median_rank_chance: float


@dataclass(frozen=True)
class IndexLoss:
    """Recall@k from text to photo with the captions as written: ranked exactly, and through the library's own index."""

    k: int
    exact: float
    through: float
    loss: float
    """exact - through"""


@dataclass(frozen=True)
class AuditReport:
    model: str
    fingerprint: str
    subject: str
    """"library", or the dataset's name"""
    part: str
    """"" for the whole of it, else what was left out: "200 of 5,000 photos, those that are there\""""
    tokenizer: str
    """"own", or "aro" as in the paper"""
    photos: int
    """in the gallery, with captions or without"""
    photos_with_captions: int
    captions: int
    duplicates: int
    """captions that stand, word for word, with another photo as well: each of these photos is a right answer"""
    empty: int
    """captions without any word, which were left out"""
    truncated: int
    """captions beyond the model's context, whose end it never sees"""
    not_english: int
    """captions that do not look English, whose parts of speech are not to be trusted"""
    seeds: int
    resamples: int
    results: tuple[Result, ...]
    ranks: tuple[RankSummary, ...]
    index: tuple[IndexLoss, ...] = ()
    """what the library's own index loses, where that was asked for"""
    task: Literal["retrieval"] = "retrieval"

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object; the keys are the names of the fields."""
        return asdict(self)

    def finding(self) -> str:
        """One plain sentence: what each perturbation costs a search with words, and whether that can be told from 0."""
        chosen = [r for r in self.results if r.direction == "text_to_image" and not r.control]
        if not chosen:
            return "No perturbation was asked for: these are the figures of the captions as they are."
        k = telling_k(chosen)
        clauses = [_clause(r, self.captions) for r in chosen if r.k == k]
        sentence = "; ".join(clauses) + "."
        return sentence[0].upper() + sentence[1:]


def telling_k(results: list[Result]) -> int:
    """10 if it was asked for and chance leaves it room, else the k nearest to 10 that does, else the smallest."""
    open_ks = [r.k for r in results if r.chance < 0.5]
    return min(open_ks, key=lambda k: (abs(k - 10), k)) if open_ks else min(r.k for r in results)


def _clause(r: Result, captions: int) -> str:
    deed = lookup(r.perturbation).deed
    if r.unperturbable == captions:
        return f"{deed} changes none of these captions, so nothing was measured"
    recall = f"Recall@{r.k}"
    figures = f"({_percent(r.clean)} to {_percent(r.perturbed)}; drop {points(r.low)} to {points(r.high)} at 95 %)"
    if r.clean <= r.chance:
        return (
            f"with {recall} at {_percent(r.clean)} this model finds the photo of a caption no more often than chance "
            f"does ({_percent(r.chance)}), so {deed} has nothing to take from it"
        )
    if r.low > 0:
        cost = f"{deed} costs {points(r.drop)} points of {recall} {figures}"
        if r.order_sensitivity is None:
            return cost
        share = min(1.0, r.order_sensitivity)
        return f"{cost}: about {share:.0%} of what this model finds beyond chance hangs on it"
    if r.high < 0:
        return f"{deed} adds {points(-r.drop)} points of {recall} {figures}: this model does better without the order"
    return (
        f"{deed} takes {recall} from {_percent(r.clean)} to {_percent(r.perturbed)}, no drop that this audit can tell "
        f"from 0 ({points(r.low)} to {points(r.high)} points at 95 %): as far as these photos show, this model hears "
        "the words and not their order"
    )


def points(share: float) -> str:
    # Adding 0 turns the -0.0 of a tiny negative share into 0.0.
    return f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
