"""What training makes small: contrastive losses with hard negatives, and the distance of a student from its teacher.

Rows are unit vectors, in the dtype that the loss is to be computed in.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vlsearch.errors import UsageError


def contrastive(
    xi: Tensor,
    xt: Tensor,
    scale: Tensor,
    *,
    kind: Literal["softmax", "sigmoid"] = "softmax",
    bias: Tensor | None = None,
    negatives: Tensor | None = None,
    photos: Tensor | None = None,
    same: Tensor | None = None,
    same_photo: Tensor | None = None,
) -> Tensor:
    """The loss, 0-d, of n images xi (n, d) and their captions xt (n, d), row i with row i.

    negatives (m, d) are further texts, right for no image; photos (l, d) further images, right for no caption.
    same (n, n + m) bool: a text that is not to count against an image, because it is its caption too or is true of it;
    same_photo (n, n + l) bool: an image that is not to count against a caption, by default same[:, :n] turned about.
    The diagonals do not matter.

    "softmax": the mean of the cross-entropy of each image over the n + m texts and that of each caption over the n + l
    images, logits scale * x @ y (Radford et al., 2021; with negatives Yuksekgonul et al., 2023, who have l = 0).
    "sigmoid": each pair decides for itself, logits scale * x @ y + bias, the sum over all pairs divided by n (Zhai et
    al., 2023). scale and bias are 0-d.

    UsageError where nothing counts against anything, which a batch of one without negatives comes to.
    """
    n = len(xi)
    negatives = xi[:0] if negatives is None else negatives
    photos = xi[:0] if photos is None else photos
    without_text = _off_diagonal(same, xi, n + len(negatives))
    if same_photo is None:
        without_photo = F.pad(without_text[:, :n].T, (0, len(photos)))
    else:
        without_photo = _off_diagonal(same_photo, xi, n + len(photos))
    if int((~without_text).sum() + (~without_photo).sum()) == 2 * n:
        which = "one has" if n == 1 else f"{n:,} with one caption between them has"
        raise UsageError(f"a batch of {which} nothing to tell apart; give a larger --batch, or hard negatives")

    pairs, to_negatives, to_photos = scale * xi @ xt.T, scale * xi @ negatives.T, scale * xt @ photos.T
    if kind == "softmax":
        own = torch.arange(n, device=xi.device)
        of_images = torch.cat([pairs, to_negatives], 1).masked_fill(without_text, -torch.inf)
        of_captions = torch.cat([pairs.T, to_photos], 1).masked_fill(without_photo, -torch.inf)
        return (F.cross_entropy(of_images, own) + F.cross_entropy(of_captions, own)) / 2
    # A pair is scored once, so either of its sides may leave it out.
    without_pair = without_text[:, :n] | without_photo[:, :n].T
    without = torch.cat([without_pair, without_text[:, n:], without_photo[:, n:]], 1)
    logits = torch.cat([pairs, to_negatives, to_photos], 1) + (0 if bias is None else bias)
    right = torch.eye(n, logits.shape[1], dtype=torch.bool, device=xi.device)
    return -F.logsigmoid(torch.where(right, logits, -logits)).masked_fill(without, 0).sum() / n


def regression(x: Tensor, y: Tensor) -> Tensor:
    """The mean, 0-d, of 1 - cosine of row i of x (n, d), a student's, and row i of y (n, d), its teacher's."""
    return 1 - F.cosine_similarity(x, y).mean()


def choosing(x: Tensor, y: Tensor, scale: float, same: Tensor) -> Tensor:
    """How badly row i of x (n, d), a student's, tells row i of y (n, d), fixed ones, from the others: cross-entropy.

    same (n, n) bool: a row of y that is not to count against one of x; the diagonal does not matter.
    """
    logits = (scale * x @ y.T).masked_fill(_off_diagonal(same, x, len(y)), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(x), device=x.device))


def likeness(x: Tensor, y: Tensor, others: Tensor, scale: Tensor | float) -> Tensor:
    """How differently a student and its teacher see a row among `others` (m, d), 0-d, in nats.

    The mean of KL(softmax(scale * y @ others) || softmax(scale * x @ others)) over the rows of x (n, d), the student's,
    and y (n, d), the teacher's (Hinton et al., 2015).
    """
    seen, meant = (F.log_softmax(scale * rows @ others.T, 1) for rows in (x, y))
    return F.kl_div(seen, meant, reduction="batchmean", log_target=True)


def _off_diagonal(mask: Tensor | None, xi: Tensor, columns: int) -> Tensor:
    """(n, columns) bool, never true of a row's own column."""
    if mask is None:
        return torch.zeros(len(xi), columns, dtype=torch.bool, device=xi.device)
    return mask & ~torch.eye(len(xi), columns, dtype=torch.bool, device=xi.device)
