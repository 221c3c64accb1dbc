"""From a report to the rows of the table: what was true, what was said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.truth.cases import Case, Truth

Leg = tuple[str, str, str | None]  # direction, first and last hop as NODE/ROLE

DELIVERED = 0
# Programs before a tap take packets that it never sees: that it is blind is true as well.
BLINDING = frozenset({"xdp-drop", "tc-program"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault of one trace.

    Attributes:
        expected, said: causes; said None where the report names none.
        expected_leg, said_leg: "direction START>END".
        evidence: kinds of evidence of the finding.
        leg_right, cause_right: whether they agree.
        wrong_certain: causes that the report calls certain and that are not on.
        extra: every further error or warning that is no truth of the case, "SEVERITY CAUSE (LEG)"; of a case with several rows on its
            first.
        note: the verdict and the report's summary.
    """

    case: str
    expected: str | None
    said: str | None
    expected_leg: str
    said_leg: str
    confidence: str
    evidence: tuple[str, ...]
    leg_right: bool
    cause_right: bool
    wrong_certain: tuple[str, ...]
    extra: tuple[str, ...] = ()
    note: str

    @property
    def right(self) -> bool:
        """Whether all of it is."""
        return self.leg_right and self.cause_right and not self.wrong_certain and not self.extra

    @classmethod
    def kept(cls, data: Mapping[str, Any]) -> "Row":
        """The row of what `dataclasses.asdict` made of it, after JSON. Raises KeyError, TypeError."""
        return cls(**{**data, **{name: tuple(data[name]) for name in ("evidence", "wrong_certain", "extra")}})


def leg_text(leg: Leg | None) -> str:
    """`request ada-ec-1/underlay > ada-ec-2/underlay`."""
    return "none" if leg is None else f"{leg[0]} {leg[1]} > {leg[2] or '-'}"


def judge(case: Case, code: int, report: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a case with faults, one for each, or the one of a healthy path."""
    truths = case.truths()
    if not truths:
        return (_healthy(case, code, report),)
    first, *others = ((_row if truth.severity == "error" else _told)(case, truth, truths, code, report) for truth in truths)
    return (replace(first, extra=_extra(report, truths)), *others)


def _extra(report: Mapping[str, Any], truths: Sequence[Truth]) -> tuple[str, ...]:
    """Errors and warnings beside the rows' own that are no truth: of an error cause and leg are asked, of a warning the cause."""
    true = {(truth.severity, truth.cause, _leg(truth) if truth.severity == "error" else None) for truth in truths}
    anywhere = {truth.cause for truth in truths if truth.severity == "error" and not truth.start}
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    own = [_nearest(report, errors, truth, alone=len(truths) == 1) for truth in truths if truth.severity == "error"]
    found = []
    for finding in report["findings"]:
        severity, cause, leg = finding["severity"], finding["cause"], _leg_of(report, finding)
        judged = severity == "info" or cause in anywhere or any(finding is one for one in own)
        judged = judged or (cause == "capture-blind" and any(truth.cause in BLINDING for truth in truths))
        judged = judged or (severity == "error" and any(_is_of_another_backend(cause, leg, truth) for truth in truths))
        if not judged and (severity, cause, leg if severity == "error" else None) not in true:
            found.append(f"{severity} {cause} ({leg_text(leg)})")
    return tuple(found)


def _is_of_another_backend(cause: str, leg: Leg | None, truth: Truth) -> bool:
    """Whether a finding says the same of the way to or from another backend: cause, direction and kinds of hops are the fault's."""
    expected = _leg(truth)
    return cause == truth.cause and leg is not None and expected is not None and _hop_kinds(leg) == _hop_kinds(expected)


def _hop_kinds(leg: Leg) -> tuple[str, ...]:
    """Direction and roles of a leg."""
    return leg[0], *((place or "-").rpartition("/")[2] for place in leg[1:])


def failed(case: Case, text: str) -> tuple[Row, ...]:
    """The rows of a case whose trace did not end in a report."""
    return tuple(
        Row(
            case=case.name,
            expected=truth.cause if truth is not None else None,
            said=None,
            expected_leg=_expected_leg(truth) if truth is not None else "",
            said_leg="none",
            confidence="",
            evidence=(),
            leg_right=False,
            cause_right=False,
            wrong_certain=(),
            note=text,
        )
        for truth in (case.truths() or (None,))
    )


def _row(case: Case, truth: Truth, truths: Sequence[Truth], code: int, report: Mapping[str, Any]) -> Row:
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    finding = _nearest(report, errors, truth, alone=len(truths) == 1)
    legs = _legs(report, finding)
    if finding is not None and _is_of_another_backend(finding["cause"], _leg_of(report, finding), truth):
        # What is wrong at the client's node hits every backend alike: which of them has most packets is chance.
        legs += [leg for one in errors if one["cause"] == truth.cause and (leg := _leg_of(report, one)) is not None]
    expected = _leg(truth)
    causes = {one.cause for one in truths}
    wrong = tuple(sorted({one["cause"] for one in errors if one["confidence"] == "certain"} - causes))
    return Row(
        case=case.name,
        expected=truth.cause,
        said=finding["cause"] if finding is not None else None,
        expected_leg=_expected_leg(truth),
        said_leg=leg_text(expected if expected in legs else next(iter(legs), None)),
        confidence=finding["confidence"] if finding is not None else "",
        evidence=tuple(dict.fromkeys(one["kind"] for one in finding["evidence"])) if finding is not None else (),
        leg_right=code == truth.code and (expected in legs or (not truth.start and truth.direction in {leg[0] for leg in legs})),
        cause_right=code == truth.code and finding is not None and finding["cause"] == truth.cause,
        wrong_certain=wrong,
        note=_note(code, report),
    )


def _told(case: Case, truth: Truth, truths: Sequence[Truth], code: int, report: Mapping[str, Any]) -> Row:
    """Of what loses no packet: the finding has its severity, and nothing else is found."""
    found, wanted = _without_translations(report), (truth.cause, truth.severity)
    finding = next((one for one in report["findings"] if (one["cause"], one["severity"]) == wanted), None)
    others = [one["cause"] for one in found if (one["cause"], one["severity"]) != wanted]
    legs = _legs(report, None)
    return Row(
        case=case.name,
        expected=truth.cause,
        said=others[0] if others else truth.cause if finding is not None else None,
        expected_leg=_expected_leg(truth),
        said_leg=leg_text(next(iter(legs), None)),
        confidence=finding["confidence"] if finding is not None else "",
        evidence=tuple(dict.fromkeys(one["kind"] for one in finding["evidence"])) if finding is not None else (),
        leg_right=code == truth.code and not legs,
        cause_right=code == truth.code and finding is not None and not others,
        wrong_certain=tuple(sorted({one["cause"] for one in found if one["confidence"] == "certain"} - {one.cause for one in truths})),
        note=_note(code, report) + _listed(found),
    )


def _nearest(report: Mapping[str, Any], errors: Sequence[Any], truth: Truth, *, alone: bool) -> Any:
    """The finding that speaks of a fault: with one fault the report's first, with several the one that fits best; None if there is none."""
    if alone or not errors:
        return errors[0] if errors else None

    def distance(finding: Any) -> tuple[bool, bool]:
        return finding["cause"] != truth.cause, _leg_of(report, finding) != _leg(truth)

    return min(errors, key=distance)


def _legs(report: Mapping[str, Any], finding: Any) -> list[Leg]:
    """Where the report says it is: the leg of that finding, else those on which packets were lost."""
    if finding is not None:
        leg = _leg_of(report, finding)
        return [] if leg is None else [leg]
    return [
        (direction["direction"], str(_place(direction, leg["from"])), _place(direction, leg["to"]))
        for flow in report["flows"]
        for direction in flow["directions"]
        for leg in direction["legs"]
        if leg["lost"]
    ]


def _leg_of(report: Mapping[str, Any], finding: Mapping[str, Any]) -> Leg | None:
    if finding["leg"] is None or finding["flow"] is None:
        return None
    flow = next(one for one in report["flows"] if one["id"] == finding["flow"])
    direction = next(one for one in flow["directions"] if one["direction"] == finding["direction"])
    return finding["direction"], str(_place(direction, finding["leg"]["from"])), _place(direction, finding["leg"]["to"])


def _place(direction: Mapping[str, Any], hop: int | None) -> str | None:
    if hop is None:
        return None
    found = next(one for one in direction["hops"] if one["hop"] == hop)
    return f"{found['node']}/{found['role']}"


def _leg(truth: Truth) -> Leg:
    return truth.direction, truth.start, truth.end


def _expected_leg(truth: Truth) -> str:
    if truth.severity != "error":
        return f"none ({truth.severity})"
    return leg_text(_leg(truth)) if truth.start else f"{truth.direction}, anywhere"


def _healthy(case: Case, code: int, report: Mapping[str, Any]) -> Row:
    found = _without_translations(report)
    clean = code == DELIVERED and not found
    return Row(
        case=case.name,
        expected=None,
        said=found[0]["cause"] if found else None,
        expected_leg="none",
        said_leg="none",
        confidence=found[0]["confidence"] if found else "",
        evidence=(),
        leg_right=clean,
        cause_right=clean,
        wrong_certain=tuple(sorted({one["cause"] for one in found if one["confidence"] == "certain"})),
        note=_note(code, report) + _listed(found),
    )


def _without_translations(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The findings but those that a client's port was rewritten: NAT does so on healthy nodes where two connections clash, by chance."""
    return [finding for finding in report["findings"] if (finding["cause"], finding["severity"]) != ("nat-port-rewritten", "info")]


def _note(code: int, report: Mapping[str, Any]) -> str:
    return f"exit {code}, {report['verdict']}: {report['summary']}"


def _listed(found: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"; {one['severity']} {one['cause']}: {one['summary']}" for one in found)
