from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vlsearch.audit import AuditReport, RankSummary, Result

SHUFFLE = Result(
    direction="text_to_image",
    perturbation="shuffle",
    control=False,
    k=10,
    clean=0.5,
    perturbed=0.461,
    drop=0.039,
    low=0.021,
    high=0.056,
    relative_drop=0.078,
    order_sensitivity=0.0867,
    detectable=0.025,
    p=0.001,
    p_holm=0.002,
    seed_spread=0.004,
    unperturbable=3,
    effective_clean=0.51,
    effective_perturbed=0.47,
    effective_drop=0.04,
    queries=1001,
    ties=0,
    ties_clean=0,
    chance=0.05,
)
RANKS = RankSummary("text_to_image", "shuffle", 0.3, 0.25, 0.02, 10.0, 13.0, 100.5)


def report(*results: Result) -> AuditReport:
    return AuditReport(
        model="builtin",
        fingerprint="ab12",
        subject="library",
        part="",
        tokenizer="own",
        photos=200,
        photos_with_captions=200,
        captions=1001,
        duplicates=0,
        empty=0,
        truncated=0,
        not_english=0,
        seeds=5,
        resamples=2000,
        results=results,
        ranks=(RANKS,),
    )


def test_a_drop_is_told_with_its_interval() -> None:
    assert report(SHUFFLE).finding() == (
        "Shuffling the words costs 3.9 points of Recall@10 (50.0 % to 46.1 %; drop 2.1 to 5.6 at 95 %): "
        "about 9% of what this model finds beyond chance hangs on it."
    )


def test_an_interval_around_zero_is_no_drop() -> None:
    finding = report(replace(SHUFFLE, perturbed=0.497, drop=0.003, low=-0.004, high=0.01)).finding()
    assert finding.startswith(
        "Shuffling the words takes Recall@10 from 50.0 % to 49.7 %, no drop that this audit can tell"
    )
    assert "(−0.4 to 1.0 points at 95 %)" in finding


def test_a_gain_is_a_gain() -> None:
    finding = report(replace(SHUFFLE, perturbed=0.54, drop=-0.04, low=-0.06, high=-0.02)).finding()
    assert "adds 4.0 points of Recall@10" in finding


def test_a_model_at_chance_has_nothing_to_lose() -> None:
    finding = report(replace(SHUFFLE, clean=0.05, perturbed=0.05, drop=0.0, low=-0.01, high=0.01)).finding()
    assert "no more often than chance" in finding


def test_captions_that_cannot_change_measure_nothing() -> None:
    assert "changes none of these captions" in report(replace(SHUFFLE, unperturbable=1001)).finding()


def test_every_perturbation_has_its_clause_and_the_control_none() -> None:
    swap = replace(SHUFFLE, perturbation="swap")
    finding = report(
        SHUFFLE, swap, replace(SHUFFLE, perturbation="identity", control=True), replace(swap, k=1)
    ).finding()
    assert finding.count("points of Recall@10") == 2
    assert "; swapping two noun phrases costs 3.9" in finding
    assert "Recall@1 " not in finding


def test_without_perturbations_there_is_no_finding() -> None:
    assert (
        report(replace(SHUFFLE, perturbation="identity", control=True))
        .finding()
        .startswith("No perturbation was asked for")
    )


@pytest.mark.parametrize(
    ("chances", "k"), [({1: 0.1, 5: 0.5, 10: 1.0}, 1), ({5: 0.1, 20: 0.4}, 5), ({1: 0.9, 2: 1.0}, 1)]
)
def test_the_k_that_is_told_leaves_room_above_chance(chances: dict[int, float], k: int) -> None:
    results = [replace(SHUFFLE, k=k, clean=0.95, chance=chance) for k, chance in chances.items()]
    assert f"Recall@{k} " in report(*results).finding() + " "


def test_to_dict_is_one_json_object() -> None:
    told = json.loads(json.dumps(report(SHUFFLE).to_dict(), allow_nan=False))
    assert (told["model"], told["photos"], told["captions"], told["seeds"]) == ("builtin", 200, 1001, 5)
    wanted = {"direction", "perturbation", "k", "clean", "perturbed", "drop", "low", "high", "unperturbable"}
    assert wanted | {"ties", "chance"} <= set(told["results"][0])
    assert told["results"][0]["drop"] == 0.039
    assert told["ranks"][0]["median_rank_clean"] == 10.0
