"""Losses and their gradients against float64 loops, differentiated by the complex step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vlsearch.errors import UsageError
from vlsearch.train.losses import choosing, contrastive, likeness, regression

Arrays = dict[str, Any]


def unit(rng: np.random.Generator, n: int, d: int = 4) -> Any:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def log_sum(terms: list[Any]) -> Any:
    return np.log(sum(np.exp(term) for term in terms))


def softmax_reference(a: Arrays, same: Any, same_photo: Any) -> Any:
    """Each row against its columns, one by one."""
    xi, xt = a["xi"], a["xt"]
    texts, images = [*xt, *a.get("negatives", [])], [*xi, *a.get("photos", [])]
    total = 0
    for i in range(len(xi)):
        for x, columns, mask in ((xi[i], texts, same), (xt[i], images, same_photo)):
            logits = [a["scale"] * sum(x * y) for y in columns]
            counted = [z for j, z in enumerate(logits) if j == i or not mask[i, j]]
            total = total + log_sum(counted) - logits[i]
    return total / (2 * len(xi))


def sigmoid_reference(a: Arrays, same: Any, same_photo: Any) -> Any:
    """Each pair by itself."""
    xi, xt, n = a["xi"], a["xt"], len(a["xi"])

    def term(x: Any, y: Any, right: bool) -> Any:
        z = a["scale"] * sum(x * y) + a["bias"]
        return np.log(1 + np.exp(-z if right else z))

    total = 0
    for i in range(n):
        for j in range(n):
            if i == j or not (same[i, j] or same_photo[j, i]):
                total = total + term(xi[i], xt[j], i == j)
        for j, y in enumerate(a.get("negatives", [])):
            total = total + (0 if same[i, n + j] else term(xi[i], y, False))
        for j, y in enumerate(a.get("photos", [])):
            total = total + (0 if same_photo[i, n + j] else term(xt[i], y, False))
    return total / n


def gradients(f: Callable[[Arrays], Any], a: Arrays) -> Arrays:
    """Complex-step derivatives, exact to rounding (Squire and Trapp, 1998)."""
    found = {}
    for name in a:
        x = np.array(a[name], dtype=complex)
        gradient = np.empty(x.shape)
        for at in np.ndindex(x.shape):
            moved = x.copy()
            moved[at] += 1e-30j
            gradient[at] = f({**a, name: moved}).imag / 1e-30
        found[name] = gradient
    return found


def assert_equals(
    loss: Callable[[dict[str, torch.Tensor]], torch.Tensor], f: Callable[[Arrays], Any], a: Arrays
) -> None:
    wanted, by = f(a), gradients(f, a)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        x = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in a.items()}
        value = loss(x)
        value.backward()
        assert value.shape == ()
        assert value.item() == pytest.approx(wanted, rel=tolerance, abs=tolerance)
        for name, tensor in x.items():
            got = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
            largest = max(1.0, float(np.abs(by[name]).max()))
            np.testing.assert_allclose(got, by[name], rtol=0, atol=tolerance * largest, err_msg=name)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("masks", ["none", "same", "both"])
@pytest.mark.parametrize(("m", "k"), [(0, 0), (3, 0), (0, 2), (3, 2)])
def test_contrastive_equals_the_written_out_loss(kind: Any, masks: str, m: int, k: int) -> None:
    rng = np.random.default_rng(10 * m + k)
    n = 5
    a = {"xi": unit(rng, n), "xt": unit(rng, n), "scale": 10 * rng.random()}
    a |= {"negatives": unit(rng, m)} if m else {}
    a |= {"photos": unit(rng, k)} if k else {}
    a |= {"bias": -3 * rng.random()} if kind == "sigmoid" else {}
    same, same_photo = rng.random((n, n + m)) < 0.3, rng.random((n, n + k)) < 0.3
    given: dict[str, Any] = {}
    if masks == "none":
        same[:], same_photo[:] = False, False
    else:
        given["same"] = torch.from_numpy(same)
    if masks == "same":
        same_photo[:] = np.hstack([same[:, :n].T, np.zeros((n, k), bool)])
    if masks == "both":
        given["same_photo"] = torch.from_numpy(same_photo)
    reference = softmax_reference if kind == "softmax" else sigmoid_reference
    assert_equals(lambda x: contrastive(kind=kind, **x, **given), lambda x: reference(x, same, same_photo), a)


def test_sigmoid_without_a_bias_has_one_of_zero() -> None:
    rng = np.random.default_rng(0)
    xi, xt = torch.from_numpy(unit(rng, 3)), torch.from_numpy(unit(rng, 3))
    scale, zero = torch.tensor(5.0), torch.tensor(0.0)
    assert contrastive(xi, xt, scale, kind="sigmoid") == contrastive(xi, xt, scale, kind="sigmoid", bias=zero)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_photos_with_the_same_caption_are_no_negatives_of_each_other(kind: Any) -> None:
    rng = np.random.default_rng(0)
    xi, xt = torch.from_numpy(unit(rng, 3)).requires_grad_(), torch.from_numpy(unit(rng, 3))
    xt[1] = xt[0]
    same = torch.eye(3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True

    def pull(mask: torch.Tensor | None) -> torch.Tensor:
        """How much photo 0 gains by nearing the caption that it shares with photo 1."""
        scale = torch.tensor(4.0)
        (gradient,) = torch.autograd.grad(contrastive(xi, xt, scale, kind=kind, bias=torch.tensor(0.0), same=mask), xi)
        return -(gradient[0] * xt[0]).sum()

    assert pull(same) > pull(None)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_batch_that_has_nothing_to_tell_apart_is_refused(kind: Any) -> None:
    x, scale = torch.eye(2), torch.tensor(1.0)
    with pytest.raises(UsageError, match="a batch of one has nothing to tell apart; give a larger --batch"):
        contrastive(x[:1], x[:1], scale, kind=kind)
    with pytest.raises(UsageError, match="a batch of 2 with one caption between them has nothing to tell apart"):
        contrastive(x, x, scale, kind=kind, same=torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(UsageError, match="a batch of one"):
        contrastive(x[:1], x[:1], scale, kind=kind, negatives=x[:1], same=torch.tensor([[True, True]]))
    contrastive(x[:1], x[:1], scale, kind=kind, negatives=x[1:])
    contrastive(x[:1], x[:1], scale, kind=kind, photos=x[1:])


def test_regression_is_one_less_the_mean_cosine() -> None:
    rng = np.random.default_rng(3)

    def written_out(a: Arrays) -> Any:
        rows = zip(a["x"], a["y"], strict=True)
        return sum(1 - sum(x * y) / np.sqrt(sum(x * x) * sum(y * y)) for x, y in rows) / len(a["x"])

    a = {"x": rng.standard_normal((4, 3)), "y": rng.standard_normal((4, 3))}
    assert_equals(lambda x: regression(**x), written_out, a)
    same = torch.from_numpy(a["x"])
    assert regression(same, 2 * same).item() == pytest.approx(0, abs=1e-12)


def test_likeness_is_the_mean_divergence_from_the_teacher() -> None:
    rng = np.random.default_rng(4)

    def written_out(a: Arrays) -> Any:
        total = 0
        for x, y in zip(a["x"], a["y"], strict=True):
            seen = [a["scale"] * sum(x * other) for other in a["others"]]
            meant = [a["scale"] * sum(y * other) for other in a["others"]]
            for s, t in zip(seen, meant, strict=True):
                log_q, log_p = s - log_sum(seen), t - log_sum(meant)
                total = total + np.exp(log_p) * (log_p - log_q)
        return total / len(a["x"])

    a = {"x": unit(rng, 4), "y": unit(rng, 4), "others": unit(rng, 6), "scale": 3.0}
    assert_equals(lambda x: likeness(**x), written_out, a)
    x = torch.from_numpy(a["x"])
    assert likeness(x, x, torch.from_numpy(a["others"]), torch.tensor(3.0)).item() == pytest.approx(0, abs=1e-12)


def test_choosing_leaves_out_what_is_said_twice() -> None:
    rng = np.random.default_rng(5)
    same = rng.random((4, 4)) < 0.4

    def written_out(a: Arrays) -> Any:
        total = 0
        for i, x in enumerate(a["x"]):
            logits = [5.0 * sum(x * y) for y in a["y"]]
            total = total + log_sum([z for j, z in enumerate(logits) if j == i or not same[i, j]]) - logits[i]
        return total / len(a["x"])

    assert same[~np.eye(4, dtype=bool)].any()
    a = {"x": unit(rng, 4), "y": unit(rng, 4)}
    assert_equals(lambda x: choosing(x["x"], x["y"], 5.0, torch.from_numpy(same)), written_out, a)
