"""From a report to the marks of a row."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.datapath.records import Lab
from tests.truth import words
from tests.truth.reports.mechanism import Mechanism, Right

RIGHT, HALF, WRONG, UNKNOWN, NOT_ASKED = "+", "o", "-", "h", "."
MOST = 0.8
"""The share of the missed packets that must be missed on the right leg; what was on its way when the trace began may be elsewhere."""
_NO_CAUSE = (None, "unknown")
_SURE = ("certain", "likely")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """A row's result.

    Attributes:
        title, kind, source, backend: of the mechanism.
        leg, verdict, cause, text: "+" right, "o" half right, "-" wrong, "h" honestly unknown, "." not asked. `text` is whether the summary
            or a remedy leads to the fix; half where only the evidence does.
        extra: causes of error and warning findings beside the top one that are neither right nor half right.
        lies: errors with a wrong cause, certain or likely, and what the row calls a lie.
        harmful: a remedy says what breaks more.
        false_delivered: DELIVERED, though something is lost.
        said: the verdict, the top cause, the summary.
        places: the legs that the report names, with the packets, most first.
        unproven: what did not hold before the trace; then the row counts nowhere.
        unhealed: what was not as it was made after the row.
    """

    title: str
    kind: str
    source: str
    backend: str
    leg: str = WRONG
    verdict: str = WRONG
    cause: str = WRONG
    text: str = WRONG
    extra: tuple[str, ...] = ()
    lies: tuple[str, ...] = ()
    harmful: bool = False
    false_delivered: bool = False
    said: str = ""
    places: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    unhealed: tuple[str, ...] = ()

    @classmethod
    def kept(cls, data: Mapping[str, Any]) -> "Marks":
        """The marks of what `dataclasses.asdict` made of them, after JSON. Raises KeyError, TypeError."""
        return cls(**{**data, **{name: tuple(data[name]) for name in ("extra", "lies", "places", "unproven", "unhealed")}})

    @property
    def good(self) -> bool:
        """Whether all of it is right."""
        return all(mark in (RIGHT, NOT_ASKED) for mark in (self.leg, self.verdict, self.cause, self.text)) and not self.false

    @property
    def false(self) -> tuple[str, ...]:
        """What is worse than not knowing, in words."""
        return (
            *(f"lie: {lie}" for lie in self.lies),
            *(f"extra: {cause}" for cause in self.extra),
            *(("harmful remedy",) if self.harmful else ()),
            *(("false DELIVERED",) if self.false_delivered else ()),
        )


def marked(row: Mechanism, **more: Any) -> Marks:
    """Marks of a row, of which `more` is known; the rest is wrong."""
    return Marks(title=row.title, kind=row.kind, source=row.source, backend=row.backend, **more)


def of_report(lab: Lab, row: Mechanism, code: int, report: Mapping[str, Any]) -> Marks:
    """The marks for a report that ended with this exit status."""
    right = _filled(lab, row.right)
    right_or_none = (*right.causes, *right.half_causes, *_NO_CAUSE)
    places = legs_named(report)
    told = [finding for finding in report["findings"] if finding["severity"] != "info"]
    top = next((finding for finding in told if finding["cause"] == report["cause"]), None)
    loud = [report["summary"], report["remediation"], *(finding[part] for finding in told for part in ("summary", "remediation"))]
    quiet = [entry["text"] for finding in report["findings"] for entry in finding["evidence"]]
    quiet += [finding[part] for finding in report["findings"] for part in ("summary", "remediation")]
    remedies = [report["remediation"], *(finding["remediation"] for finding in told)]
    return marked(
        row,
        leg=_leg(right, places),
        verdict=_verdict(right, code, report["verdict"]),
        cause=_cause(right, report["cause"]),
        text=_text(right, loud, quiet, remedies),
        extra=tuple(finding["cause"] for finding in told if finding is not top and finding["cause"] not in right_or_none),
        lies=tuple(sorted({str(finding["cause"]) for finding in told if _is_lie(right, finding)})),
        harmful=bool(right.harm) and _has(right.harm, remedies),
        false_delivered=report["verdict"] == "delivered" and "delivered" not in right.verdicts,
        said=f"{report['verdict']}, {report['cause'] or 'no cause'}: {report['summary']}",
        places=tuple(f"{place}: {packets}" for place, packets in places.most_common(4)),
    )


def legs_named(report: Mapping[str, Any]) -> Counter[str]:
    """Where the report says packets end: "DIRECTION NODE/ROLE > NODE/ROLE" ("-" where it names no further hop) -> packets."""
    named: Counter[str] = Counter()
    for flow in report["flows"]:
        ways = {way["direction"]: way for way in flow["directions"]}
        for direction, way in ways.items():
            for leg in way["legs"]:
                if leg["lost"]:
                    named[f"{direction} {_hop(way, leg['from'])} > {_hop(way, leg['to'])}"] += leg["lost"]
        if "request" in ways and ways.get("reply", {}).get("verdict") == "unanswered":
            expected = [hop for hop in ways["request"]["hops"] if hop["expected"]]
            if expected:
                named[f"request {expected[-1]['node']}/{expected[-1]['role']} > -"] += max(1, expected[-1]["packets"])
        for finding in report["findings"]:
            if finding["flow"] == flow["id"] and finding["severity"] != "info" and finding["leg"] and finding["leg"]["to"] is None:
                place = f"{finding['direction']} {_hop(ways[finding['direction']], finding['leg']['from'])} > -"
                named[place] = max(named[place], finding["packets"] or 1)
    return named


def _hop(way: Mapping[str, Any], number: int | None) -> str:
    found = next((hop for hop in way["hops"] if hop["hop"] == number), None)
    return "-" if found is None else f"{found['node']}/{found['role']}"


def _filled(lab: Lab, right: Right) -> Right:
    """Its regular expressions with the lab's names in them."""

    def pattern(text: str) -> str:
        return re.sub(r"\{[a-z][^{} ]*\}", lambda match: re.escape(words.filled(lab, match[0])), text)

    return dataclasses.replace(right, words=pattern(right.words), harm=pattern(right.harm))


def _leg(right: Right, places: Counter[str]) -> str:
    if not right.legs:
        return WRONG if places else RIGHT
    packets = sum(places[leg] for leg in right.legs)
    if packets:
        return RIGHT if packets >= MOST * places.total() else HALF
    return HALF if any(places[leg] for leg in right.half_legs) else WRONG


def _verdict(right: Right, code: int, verdict: str) -> str:
    if verdict in right.verdicts:
        return RIGHT if right.code in (None, code) else HALF
    return HALF if verdict in right.half_verdicts else WRONG


def _cause(right: Right, cause: str | None) -> str:
    if cause in right.causes:
        return RIGHT
    return HALF if cause in right.half_causes else UNKNOWN if cause in _NO_CAUSE else WRONG


def _is_lie(right: Right, finding: Mapping[str, Any]) -> bool:
    cause, sure = finding["cause"], finding["confidence"] in _SURE
    wrong = finding["severity"] == "error" and sure and cause not in (*right.causes, *right.half_causes, *_NO_CAUSE)
    return wrong or (cause in right.lies and finding["confidence"] != "possible")


def _text(right: Right, loud: Iterable[str | None], quiet: Iterable[str | None], remedies: Iterable[str | None]) -> str:
    if not right.words:
        return NOT_ASKED
    loud, quiet = list(loud), list(quiet)
    if _has(right.words, loud):
        return HALF if right.misleads and _has(right.misleads, remedies) else RIGHT
    return HALF if _has(right.words, quiet) or (right.hint and _has(right.hint, [*loud, *quiet])) else WRONG


def _has(pattern: str, texts: Iterable[str | None]) -> bool:
    return any(text and re.search(pattern, text, re.IGNORECASE) for text in texts)
