"""What a report says in sentences: the finding as a headline, and what a reader needs to trust the figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vlsearch.audit.perturb import lookup
from vlsearch.audit.report import AuditReport, ChoiceReport, ListResult, ListsReport, Report, Result
from vlsearch.audit.report.retrieval import points, telling_k
from vlsearch.printable import printable

CLAUSES = 2
"""findings of more are summed up: nobody reads a sentence of thirteen"""
SURE = 0.05
CONTROLS = {
    "identity": "tokenised and joined, nothing moved",
    "identity-photos": "cut and put together again, nothing moved",
    "sort": "words in alphabetical order, the same whatever order they came in: a bag of words",
}


def notes(report: Report) -> list[str]:
    """Sentences for below the tables, the most important first."""
    if isinstance(report, AuditReport):
        lines = _retrieval(report)
    elif isinstance(report, ChoiceReport):
        lines = _choice(report)
    else:
        lines = _lists(report)
    return [printable(line) for line in lines]


def headline(report: Report) -> str:
    """The finding in one sentence; where it would have more clauses than a reader takes in, a summary of it."""
    if isinstance(report, AuditReport) and len(drops := told_results(report)) > CLAUSES:
        return _many_drops(drops, report.captions)
    if isinstance(report, ListsReport):
        k = told_k(report)
        lists = [r for r in report.results if not r.control and r.queries and r.k == k]
        if len(lists) > CLAUSES:
            return _many_lists(lists)
    return printable(report.finding())


def told_k(report: Report) -> int:
    """The depth that the finding tells of; 0 where there is none."""
    if isinstance(report, ChoiceReport) or not report.results:
        return 0
    if isinstance(report, ListsReport):
        return min((r.k for r in report.results), key=lambda k: (abs(k - 10), k))
    return telling_k([r for r in report.results if r.direction == "text_to_image"])


def told_results(report: AuditReport) -> list[Result]:
    """What the finding tells of: text to photo, without controls, at the k that says most."""
    k = told_k(report)
    return [r for r in report.results if r.direction == "text_to_image" and not r.control and r.k == k]


def _many_drops(told: list[Result], captions: int) -> str:
    recall, clean, chance = f"Recall@{told[0].k}", told[0].clean, told[0].chance
    measured = [r for r in told if r.unperturbable < captions]
    if not measured:
        return f"None of {len(told)} perturbations changes any of these captions, so nothing was measured."
    if clean <= chance:
        return (
            f"With {recall} at {points(clean)} % this model finds the photo of a caption no more often than chance "
            f"does ({points(chance)} %), so there is nothing that a perturbation could take from it."
        )
    costly = [r for r in measured if r.drop > 0 and r.p_holm is not None and r.p_holm < SURE]
    worst = max(costly or measured, key=lambda r: r.drop)
    deed = lookup(worst.perturbation).deed
    figures = f"{points(worst.drop)} points ({points(worst.low)} to {points(worst.high)} at 95 %)"
    if costly:
        return (
            f"{len(costly)} of {len(measured)} perturbations cost {recall}, corrected for their number; {deed} costs "
            f"most: {figures}."
        )
    return (
        f"None of {len(measured)} perturbations takes anything from {recall} that this audit can tell from 0; the "
        f"largest drop, from {deed}, is {figures}."
    )


def _many_lists(told: list[ListResult]) -> str:
    least, most = (pick(told, key=lambda r: r.overlap) for pick in (min, max))
    interval = f"{points(least.low)} to {points(least.high)} % at 95 %"
    return (
        f"Of the first {told[0].k} results stay {points(least.overlap)} % ({interval}) under the perturbation that "
        f"changes most, {lookup(least.perturbation).deed}, and {points(most.overlap)} % under the one that changes "
        f"least, {lookup(most.perturbation).deed}."
    )


def _retrieval(report: AuditReport) -> Iterator[str]:
    told = told_results(report)
    yield (
        f"95 % intervals: {report.resamples:,} paired bootstrap resamples over photos and {report.seeds} seeds. p: "
        "paired permutation test, corrected for the number of perturbations (Holm)."
    )
    if told:
        yield _detectable(told)
        yield from _sensitivity(told)
    yield from _unperturbable(report, told)
    ties = sum({(r.direction, r.perturbation): r.ties for r in report.results}.values())
    clean = sum({r.direction: r.ties_clean for r in report.results}.values())
    yield f"Queries with a tie (which never helps): {clean:,} as written, {ties:,} perturbed, all seeds together."
    yield "Chance: what a random order of the photos, or captions, gives."
    if without := report.photos - report.photos_with_captions:
        yield f"Photos without captions: {without:,}; captions must tell their own photo from these as well."
    if report.duplicates:
        yield f"Captions that stand with several photos: {report.duplicates:,}; each of these is a right answer."
    if report.empty:
        yield f"Captions without any word: {report.empty:,}, left out."
    yield from _cut(report.truncated, "Captions")
    if report.not_english:
        yield (
            f"Captions that do not look English: {report.not_english:,}; perturbations that go by parts of speech are "
            "not to be trusted on them."
        )
    if report.tokenizer == "aro":
        yield "Words are told apart as the code of ARO does it."
    for i in report.index:
        yield (
            f"The library's own index finds {points(i.through)} % of photos among the first {i.k}, exact search "
            f"{points(i.exact)} %: it loses {points(i.loss)} points."
        )
    yield from _controls(r.perturbation for r in report.results if r.control)


def _detectable(told: list[Result]) -> str:
    recall = f"Recall@{told[0].k} from 0"
    least, most = (pick(told, key=lambda r: r.detectable) for pick in (min, max))
    if points(least.detectable) == points(most.detectable):
        return f"This audit could have told a drop of {points(most.detectable)} points of {recall}."
    return (
        f"This audit could have told a drop of {points(least.detectable)} ({least.perturbation}) to "
        f"{points(most.detectable)} points ({most.perturbation}) of {recall}."
    )


def _sensitivity(told: list[Result]) -> Iterator[str]:
    shares = [f"{r.perturbation} {_hundredths(r.order_sensitivity)}" for r in told if r.order_sensitivity is not None]
    if shares:
        yield (
            f"Order sensitivity (drop of Recall@{told[0].k} over what is found beyond chance: 0 for a bag of words, "
            f"1 for a model that needs the order): {', '.join(shares)}."
        )


def _unperturbable(report: AuditReport, told: list[Result]) -> Iterator[str]:
    """A photo always can be changed, so only text is counted."""
    counts = {r.perturbation: r.unperturbable for r in report.results if not r.control and _of_text(r.perturbation)}
    if not counts:
        return
    yield f"Captions that cannot change: {', '.join(f'{name} {count:,}' for name, count in counts.items())}."
    without = [
        f"{r.perturbation} {points(r.effective_drop)} ({points(r.unperturbable / report.captions)} % of captions out)"
        for r in told
        if r.unperturbable and r.effective_drop is not None
    ]
    if without:
        yield f"Without these, text → photo, the drop of Recall@{told[0].k} in points is: {', '.join(without)}."


def _of_text(name: str) -> bool:
    return lookup(name).kind == "text"


def _choice(report: ChoiceReport) -> Iterator[str]:
    yield (
        "95 % intervals: Wilson for accuracies and scores, bootstrap over photos for macro accuracy and auc. Chance: "
        "guessing."
    )
    for r in (r for r in report.results if r.split == "all" or len(report.results) <= CLAUSES):
        where = "" if r.split == "all" else f" on {r.split}"
        yield f"This audit could have told {points(r.detectable)} points of {r.metric}{where} from chance."
    if any(r.blind is not None for r in report.results):
        yield "blind: an n-gram model of captions, held out, that never sees the photo."
    if any(r.bag_of_words is not None for r in report.results):
        yield "sorted: the same model with the words in alphabetical order, a bag of words; where it ties, it is wrong."
    yield from _choice_ties(report)
    if report.seeds:
        yield f"Texts perturbed under {report.seeds} seeds; left out, as they cannot change: {report.unperturbable:,}."
    yield from _cut(report.truncated, "Texts")
    yield from (f"Left out: {line}." for line in report.left_out)


def _choice_ties(report: ChoiceReport) -> Iterator[str]:
    """By metric, as all of them are of the same items; the row of the whole task has those of its splits."""
    counts = {}
    for metric in dict.fromkeys(r.metric for r in report.results):
        rows = [r for r in report.results if r.metric == metric]
        counts[metric] = sum(r.ties for r in [r for r in rows if r.split == "all"] or rows)
    judged = "count half" if set(counts) == {"auc"} else "are wrong"
    if counts:
        yield f"Ties, which {judged}: {', '.join(f'{metric} {count:,}' for metric, count in counts.items())}."


def _lists(report: ListsReport) -> Iterator[str]:
    yield f"95 % intervals: {report.resamples:,} bootstrap resamples over queries and {report.seeds} seeds."
    yield (
        "overlap: share of the first k results that the perturbed query finds too. RBO: rank-biased overlap, with p = "
        "1 - 1/k. first: queries whose best result stays."
    )
    yield "No captions were needed, so this shows what changes, not what is right."
    counts = {r.perturbation: r.unperturbable for r in report.results if not r.control}
    if counts:
        same = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        yield f"Queries that cannot change: {same}; they are left out."
    if alone := list(dict.fromkeys(r.perturbation for r in report.results if not r.control and r.queries == 1)):
        yield f"Only one query can change under {' and '.join(alone)}, so that its figures have no interval."
    yield from _cut(report.truncated, "Queries")
    yield from _controls(r.perturbation for r in report.results if r.control)


def _controls(names: Iterable[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        yield f"{name} is a control: {CONTROLS.get(name) or lookup(name).deed}."


def _cut(truncated: int, what: str) -> Iterator[str]:
    if truncated:
        yield (
            f"{what} beyond the model's context: {truncated:,}; it never sees their end, so what moves there is hidden "
            "from it."
        )


def _hundredths(share: float) -> str:
    return f"{round(share, 2) + 0.0:.2f}".replace("-", "−")
