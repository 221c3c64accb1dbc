"""The path of one direction as a drawing: nodes are boxes, hops stand in them, legs join them; where packets end, the leg is broken."""

from itertools import groupby, pairwise

from kubectl_vxtrace.model.report import DirectionReport, HopCount, LegTally
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.html.markup import Element, tag

_HOP_PX, _BOX_GAP_PX, _MARGIN_PX = 132.0, 26.0, 12.0
_LINE_Y, _HEIGHT_PX, _RADIUS_PX = 78.0, 168.0, 15.0
_MOST_CHARACTERS = 19


def drawing(direction: DirectionReport, title: str) -> Element:
    """An SVG image that says in its title what it shows."""
    hops = words.expected_hops(direction)
    places = _places(hops)
    width = (max(places.values(), default=0.0)) + _HOP_PX / 2 + _MARGIN_PX
    lost = {leg.from_: leg for leg in direction.legs if leg.lost}
    ends_here = lost.get(hops[-1].hop) if hops else None
    parts = [
        *(_box(node, [places[hop.hop] for hop in of_node]) for node, of_node in _by_node(hops)),
        *(_leg(places[one.hop], places[two.hop], _covering(direction, one, two)) for one, two in pairwise(hops)),
        _end(places[hops[-1].hop], ends_here) if ends_here is not None else None,
        *(_hop(hop, places[hop.hop], behind_loss=any(leg_from < hop.hop for leg_from in lost)) for hop in hops),
    ]
    return tag(
        "svg",
        tag("title", title),
        tag("desc", _description(direction, hops)),
        parts,
        viewBox=f"0 0 {width:g} {_HEIGHT_PX:g}",
        width=width,
        height=_HEIGHT_PX,
        role="img",
        class_="path",
        xmlns="http://www.w3.org/2000/svg",
    )


def _description(direction: DirectionReport, hops: tuple[HopCount, ...]) -> str:
    """The same in words: what each hop saw, and where packets ended."""
    seen = [f"hop {hop.hop} ({hop.node} {hop.interface or words.UNKNOWN}, {hop.role.value}): {words.hop_packets(hop)}" for hop in hops]
    ended = [
        f"{leg.lost} of {leg.sent} ended between hop {leg.from_} and hop {leg.to or words.UNKNOWN}" for leg in direction.legs if leg.lost
    ]
    return "; ".join([*seen, *ended])


def _by_node(hops: tuple[HopCount, ...]) -> list[tuple[str, list[HopCount]]]:
    """The hops of each stay on a node, in order."""
    return [(node, list(of_node)) for node, of_node in groupby(hops, key=lambda hop: hop.node)]


def _places(hops: tuple[HopCount, ...]) -> dict[int, float]:
    """The middle of each hop on the line, by hop number."""
    places: dict[int, float] = {}
    left = _MARGIN_PX
    for _, of_node in _by_node(hops):
        for hop in of_node:
            places[hop.hop] = left + _HOP_PX / 2
            left += _HOP_PX
        left += _BOX_GAP_PX
    return places


def _box(node: str, middles: list[float]) -> list[Element]:
    left = middles[0] - _HOP_PX / 2
    width = middles[-1] - middles[0] + _HOP_PX
    return [
        tag("rect", x=left, y=8.0, width=width, height=_HEIGHT_PX - 16, rx=8.0, class_="node"),
        tag("text", words.shortened(node, int(width / 8), "…"), x=left + width / 2, y=28.0, class_="node-name"),
    ]


def _covering(direction: DirectionReport, one: HopCount, two: HopCount) -> LegTally | None:
    """The leg on which the way from one hop to the next lies; blind hops lie inside a leg."""
    for leg in direction.legs:
        if leg.from_ <= one.hop and leg.to is not None and two.hop <= leg.to:
            return leg
    return None


def _leg(start: float, end: float, leg: LegTally | None) -> list[Element]:
    state = "unseen" if leg is None else "lost" if leg.lost else "good" if leg.arrived else "unseen"
    found = [tag("line", x1=start + _RADIUS_PX, x2=end - _RADIUS_PX, y1=_LINE_Y, y2=_LINE_Y, class_=f"leg {state}")]
    if leg is not None and leg.lost:
        found += _cross((start + end) / 2, f"-{leg.lost}")
    return found


def _end(start: float, leg: LegTally) -> list[Element]:
    """Packets that ended behind the last hop."""
    end = start + _HOP_PX / 2 - 6
    return [tag("line", x1=start + _RADIUS_PX, x2=end, y1=_LINE_Y, y2=_LINE_Y, class_="leg lost"), *_cross(end - 6, f"-{leg.lost}")]


def _cross(middle: float, text: str) -> list[Element]:
    d = f"M{middle - 7:g} {_LINE_Y - 7:g} l14 14 m0 -14 l-14 14"
    return [tag("path", d=d, class_="cross"), tag("text", text, x=middle, y=_LINE_Y - 14, class_="count lost")]


def _hop(hop: HopCount, middle: float, *, behind_loss: bool) -> list[Element]:
    state = "seen" if hop.packets else "blind" if not hop.witness else "missed" if behind_loss else "empty"
    return [
        tag("circle", tag("title", f"hop {hop.hop}: {hop.node} {hop.interface or '?'}"), cx=middle, cy=_LINE_Y, r=_RADIUS_PX, class_=state),
        tag("text", str(hop.hop), x=middle, y=_LINE_Y + 5, class_="number"),
        tag("text", words.hop_packets(hop), x=middle, y=_LINE_Y + 36, class_="count"),
        tag("text", words.shortened(hop.interface or words.UNKNOWN, _MOST_CHARACTERS, "…"), x=middle, y=_LINE_Y + 56),
        tag("text", hop.role.value, x=middle, y=_LINE_Y + 73, class_="role"),
    ]
