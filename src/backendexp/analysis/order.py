"""Whether the order in which several backends ran can mislead a reader."""

from itertools import pairwise


def order_caveat(order: list[str]) -> str | None:
    """A warning if one backend ran completely before another, else None.

    order: the backend of each run, in the order of the runs.
    """
    if not _wholly_one_after_another(order):
        return None
    return (
        "One backend ran wholly before the other, so a drift of the machine looks like a difference of "
        "backends. The last key of a sweep varies fastest: put backend=... last."
    )


def _wholly_one_after_another(order: list[str]) -> bool:
    blocks = sum(1 for a, b in pairwise(order) if a != b) + 1
    kinds = set(order)
    return len(kinds) > 1 and blocks == len(kinds) and any(order.count(kind) > 1 for kind in kinds)
