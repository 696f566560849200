"""Batches of which some rows lack a modality: no statistics see those, and nothing is compared with them."""

from __future__ import annotations

from torch import Tensor


def spread(x: Tensor, there: Tensor) -> Tensor:
    """What was encoded of the rows that are there, at their places among all; bool [B], x [N, ...] -> [B, ...].

    Other rows are zeros. A batch over several ranks is gathered in this form, in which all ranks have as many rows.
    """
    return x.new_zeros(len(there), *x.shape[1:]).index_put((there,), x)


def compared(there: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of bool [B] are compared, bool [B], and the weight of what comes of it, a scalar.

    Where none is there, all are, and count nothing: so each step has a finite loss and all parameters a gradient.
    """
    some = there.any()
    return there | ~some, some.float()
