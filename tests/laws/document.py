"""The laws that a report can be held to by itself, without the packets."""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

BROKEN = {"dropped", "lost", "rejected", "unanswered"}
# Why connections fail whose packets are delivered: the only causes of a report in which nothing is broken.
BEYOND_PACKETS = ("application-error", "connection-broken", "late-answer", "pod-firewall", "socket-overflow", "zero-window")
WORST_FIRST = ("dropped", "lost", "rejected", "unanswered", "undetermined", "delivered")


def breaches(report: Json) -> list[str]:
    """Every law that the report breaks, in words; none in a report that holds together."""
    return [*_verdict(report), *_directions(report), *_findings(report), *_packets(report)]


def _verdict(report: Json) -> Iterator[str]:
    """The whole is as bad as its worst part, names what is to be told first as its cause."""
    verdict, parts = report["verdict"], [direction["verdict"] for flow in report["flows"] for direction in flow["directions"]]
    told = [part for part in parts if part in WORST_FIRST]
    if report["flows"] and verdict != (min(told, key=WORST_FIRST.index) if told else "no-traffic"):
        yield f"verdict {verdict} of {parts}"
    if not report["flows"] and verdict not in ("no-traffic", "undetermined"):
        yield f"verdict {verdict} without a flow"
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    first = errors[0]["cause"] if errors else None
    located = {finding["cause"] for finding in report["findings"] if verdict == "undetermined" and finding["leg"] is not None}
    if report["cause"] != first if verdict in BROKEN else report["cause"] not in (None, *BEYOND_PACKETS, *located):
        yield f"cause {report['cause']} of verdict {verdict}, the first error is {first}"
    if verdict in BROKEN and first is None:
        yield f"verdict {verdict} that no finding speaks of"
    if (report["impact"] == "none") is (verdict in BROKEN):
        yield f"impact {report['impact']} of verdict {verdict}"


def _directions(report: Json) -> Iterator[str]:
    for flow in report["flows"]:
        for direction in flow["directions"]:
            where = f"flow {flow['id']}, {direction['direction']}: "
            yield from (where + said for said in (*_legs(direction), *_hops(report, direction)))


def _legs(direction: Json) -> Iterator[str]:
    """What a leg was given is what arrived, was lost and is unknown; a loss lies between two hops that can testify; what is said to be
    delivered was lost nowhere."""
    hops = {hop["hop"]: hop for hop in direction["hops"] if hop["expected"]}
    for leg in direction["legs"]:
        name = f"leg {leg['from']} to {leg['to']}"
        counts = [leg[count] for count in ("sent", "arrived", "lost", "undetermined")]
        if min(counts) < 0 or counts[0] != sum(counts[1:]):
            yield f"{name}: {counts[0]} sent, {counts[1:]} arrived, lost, undetermined"
        if not leg["lost"]:
            continue
        yield from (f"{name}: lost beside hop {end}, which is no witness" for end in _ends(leg) if not hops[end]["witness"])
        if direction["verdict"] in ("delivered", "undetermined", "unanswered", "no-traffic", "not-applicable"):
            yield f"{name}: {leg['lost']} lost of what is {direction['verdict']}"


def _ends(leg: Json) -> list[int]:
    return [end for end in (leg["from"], leg["to"]) if end is not None]


def _hops(report: Json, direction: Json) -> Iterator[str]:
    """Hops are numbered in order, a pod's tap is one hop (a bridge may be passed to the node and back), and one that cannot testify says
    why; nor can one of which there is no capture."""
    captures = {capture["id"] for capture in report["captures"]}
    numbers = [hop["hop"] for hop in direction["hops"]]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"hops {numbers}"
    taps = [(hop["node"], hop["interface"]) for hop in direction["hops"] if hop["expected"] and hop["interface"] and hop["role"] == "pod"]
    if len(taps) != len(set(taps)):
        yield f"one tap is several hops: {taps}"
    for hop in direction["hops"]:
        if not hop["witness"] and not hop["reason"]:
            yield f"hop {hop['hop']} is no witness, for no reason"
        if hop["expected"] and hop["witness"] and hop["capture"] is None:
            yield f"hop {hop['hop']} testifies without a capture"
        if hop["capture"] is not None and hop["capture"] not in captures:
            yield f"hop {hop['hop']} is capture {hop['capture']}, which there is not"


def _findings(report: Json) -> Iterator[str]:
    """An error speaks of a flow of the report, of a direction that is broken, and of no more packets than were sent there; evidence cites
    captures that there are; the best come first."""
    directions = {(flow["id"], one["direction"]): one for flow in report["flows"] for one in flow["directions"]}
    captures = {capture["id"] for capture in report["captures"]}
    for finding in report["findings"]:
        cited = {frame["capture"] for proof in finding["evidence"] for frame in proof["frames"]}
        if not cited <= captures:
            yield f"{finding['cause']} cites captures {sorted(cited - captures)}, which there are not"
        if not finding["evidence"] and finding["severity"] == "error":
            yield f"{finding['cause']}: an error without evidence"
        if finding["severity"] != "error" or finding["flow"] is None:
            continue
        direction = directions.get((finding["flow"], finding["direction"]))
        if direction is None:
            yield f"{finding['cause']} is about flow {finding['flow']}, {finding['direction']}, which there is not"
        elif direction["verdict"] not in BROKEN and not _is_answered_by_none(report, finding):
            yield f"{finding['cause']}: an error about a direction that is {direction['verdict']}"
        elif finding["packets"] > max(
            [leg["sent"] for leg in direction["legs"]] + [hop["packets"] for hop in direction["hops"]], default=0
        ):
            yield f"{finding['cause']}: {finding['packets']} packets, more than were sent"
    ranks = [("error", "warning", "info").index(finding["severity"]) for finding in report["findings"]]
    if ranks != sorted(ranks):
        yield f"findings in the order {ranks}"


def _most_seen(direction: Json) -> int:
    return max([*(leg["sent"] for leg in direction["legs"]), *(hop["packets"] for hop in direction["hops"])], default=0)


def _is_answered_by_none(report: Json, finding: Json) -> bool:
    """Whether the finding says of requests that arrived that nothing answered them: then the way back is what is broken."""
    of_flow = next(flow for flow in report["flows"] if flow["id"] == finding["flow"])
    return any(direction["verdict"] == "unanswered" for direction in of_flow["directions"])


def _packets(report: Json) -> Iterator[str]:
    """A packet that is listed belongs to a flow of the report and was seen somewhere."""
    flows = {flow["id"] for flow in report["flows"]}
    for packet in report["packets"]:
        if packet["flow"] not in flows or not packet["sightings"]:
            yield f"packet {packet['id']} of flow {packet['flow']} was seen at {packet['sightings']}"
