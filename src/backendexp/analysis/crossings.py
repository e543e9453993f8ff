"""At which sizes one backend overtakes another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from backendexp.analysis.findings import ScalePoint


@dataclass(frozen=True)
class Crossing:
    """A place between two measured sizes where the faster of two backends changes.

    faster_below, faster_above: the backend that is faster at the smaller and at the larger size.
    below, above: the two sizes. At the measured sizes between them, if there are any, the backends tie.
    size: where the medians would meet if both grew as a power of the size from one measured size to the next.
    clear: whether the runs of the two backends overlap neither at `below` nor at `above`.
    """

    faster_below: str
    faster_above: str
    below: float
    above: float
    size: float
    clear: bool


def crossings(points: Sequence[ScalePoint]) -> list[Crossing]:
    """The crossings of every pair of backends, over the sizes that both finished.

    points: the values of one measure, all above 0, one for each backend and size.
    """
    backends = list(dict.fromkeys(point.backend for point in points))
    return [found for one, other in combinations(backends, 2) for found in _of_pair(points, one, other)]


def _of_pair(points: Sequence[ScalePoint], one: str, other: str) -> list[Crossing]:
    shared = _shared(points, one, other)
    # A lead is above 0 where `other` is the faster one.
    leads = [math.log(a.median / b.median) for a, b in shared]
    untied = [at for at, lead in enumerate(leads) if lead]
    found = []
    for first, last in pairwise(untied):
        if (leads[first] > 0) == (leads[last] > 0):
            continue
        # Interpolate along a straight line on logarithmic axes. With ties, the lines meet at the first tie.
        begin, end = (math.log(shared[at][0].size) for at in (first, first + 1))
        share = leads[first] / (leads[first] - leads[first + 1])
        below, above = (one, other) if leads[first] < 0 else (other, one)
        found.append(
            Crossing(
                faster_below=below,
                faster_above=above,
                below=shared[first][0].size,
                above=shared[last][0].size,
                size=math.exp(begin + share * (end - begin)),
                clear=not _overlap(*shared[first]) and not _overlap(*shared[last]),
            )
        )
    return found


def _shared(points: Sequence[ScalePoint], one: str, other: str) -> list[tuple[ScalePoint, ScalePoint]]:
    """The points of both backends at each size that both have, from the smallest size to the largest."""
    at = {(point.backend, point.size): point for point in points}
    sizes = sorted({point.size for point in points if point.backend == one})
    return [(at[one, size], at[other, size]) for size in sizes if (other, size) in at]


def _overlap(a: ScalePoint, b: ScalePoint) -> bool:
    return a.low <= b.high and b.low <= a.high


def sentences(points: Sequence[ScalePoint], baseline: str, of: str) -> list[str]:
    """Sentences that say where each pair of backends crosses. For a pair with the baseline that does not
    cross, the sentence says which of the two is faster.

    of: what the size counts, such as "samples".
    """
    met = crossings(points)
    said = [_crossing_in_words(crossing, of) for crossing in met]
    for backend in dict.fromkeys(point.backend for point in points):
        together = {frozenset((c.faster_below, c.faster_above)) for c in met}
        if backend != baseline and frozenset((backend, baseline)) not in together:
            said += _order_in_words(_shared(points, backend, baseline), of)
    return said


def _crossing_in_words(crossing: Crossing, of: str) -> str:
    digits = 1 - math.floor(math.log10(crossing.size))
    doubt = "" if crossing.clear else ". Their runs overlap there, so it may be noise"
    return (
        f"{crossing.faster_below} and {crossing.faster_above} cross between {crossing.below:,.0f} and "
        f"{crossing.above:,.0f} {of}, at about {round(crossing.size, digits):,.0f}: below, "
        f"{crossing.faster_below} is the faster, and above, {crossing.faster_above}{doubt}"
    )


def _order_in_words(shared: Sequence[tuple[ScalePoint, ScalePoint]], of: str) -> list[str]:
    ratios = [candidate.median / baseline.median for candidate, baseline in shared]
    if len(ratios) < 2 or min(ratios) == max(ratios) == 1:
        return []
    (first, reference), (last, _) = shared[0], shared[-1]
    relation = "faster" if min(ratios) < 1 else "slower"
    close = [f"{candidate.size:,.0f}" for candidate, baseline in shared if _overlap(candidate, baseline)]
    doubt = f". At {', '.join(close)} their runs overlap, so it may be noise" if close else ""
    times = f"{min(ratios):.2f} to {max(ratios):.2f} times {reference.backend}'s time"
    return [
        f"{first.backend} is {relation} than {reference.backend} all the way from {first.size:,.0f} to "
        f"{last.size:,.0f} {of}: {times}{doubt}"
    ]
