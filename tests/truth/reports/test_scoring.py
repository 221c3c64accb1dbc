"""Marks: what is right, half right, honestly unknown, and worse than that."""

from typing import Any

import pytest

from tests.datapath import shape
from tests.truth.reports.mechanism import Mechanism, Right
from tests.truth.reports.scoring import Marks, marked, of_report

LAB = shape.lab("calico", 3, "/nowhere")
HOPS = [("ada-ec-1", "pod"), ("ada-ec-1", "vxlan"), ("ada-ec-1", "underlay"), ("ada-ec-2", "underlay"), ("ada-ec-2", "vxlan")]
RIGHT = Right(
    legs=("request ada-ec-1/pod > ada-ec-1/vxlan",),
    half_legs=("request ada-ec-1/pod > ada-ec-1/underlay",),
    causes=("policy-route",),
    half_causes=("route-missing",),
    lies=("server-silent",),
    words="ip rule|{web.address}",
    hint="routing tables",
    misleads="security group",
    harm="drain",
)


def row(**changes: Any) -> Mechanism:
    return Mechanism(**{"name": "row", "kind": "kind", "source": "a/b#1", "inject": (), "proof": (), "right": RIGHT, **changes})


def finding(cause: str, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "severity": "error",
        "confidence": "likely",
        "flow": 1,
        "direction": "request",
        "leg": {"from": 1, "to": 2},
        "packets": 9,
        "summary": "what was found",
        "remediation": None,
        "evidence": [{"text": "what was read"}],
    }
    return {**usual, "cause": cause, **changes}


def report(*findings: dict[str, Any], lost: tuple[int, int | None] | None = (1, 2), **changes: Any) -> dict[str, Any]:
    hops = [
        {"hop": number, "node": node, "role": role, "expected": True, "packets": 9} for number, (node, role) in enumerate(HOPS, start=1)
    ]
    legs = [{"from": lost[0], "to": lost[1], "lost": 9}] if lost else []
    ways = [
        {"direction": "request", "verdict": "lost", "hops": hops, "legs": legs},
        {"direction": "reply", "verdict": "no-traffic", "hops": hops[::-1], "legs": []},
    ]
    cause = findings[0]["cause"] if findings else None
    usual = {"verdict": "lost", "cause": cause, "summary": "LOST", "remediation": None, "flows": [{"id": 1, "directions": ways}]}
    return {**usual, "findings": list(findings), **changes}


def marks(said: dict[str, Any], code: int = 3, **changes: Any) -> Marks:
    return of_report(LAB, row(**changes), code, said)


def test_all_right() -> None:
    found = marks(report(finding("policy-route", remediation="see `ip rule`")))
    assert (found.leg, found.verdict, found.cause, found.text) == ("+", "+", "+", "+")
    assert found.good
    assert Marks.kept({name: getattr(found, name) for name in Marks.__slots__}) == found


@pytest.mark.parametrize(
    ("lost", "mark"), [((1, 2), "+"), ((1, 3), "o"), ((3, 4), "-"), (None, "-")], ids=["right", "longer", "elsewhere", "nowhere"]
)
def test_the_leg(lost: tuple[int, int] | None, mark: str) -> None:
    assert marks(report(lost=lost)).leg == mark


def test_half_of_the_packets_on_another_leg_is_half_right() -> None:
    said = report()
    said["flows"][0]["directions"][0]["legs"].append({"from": 3, "to": 4, "lost": 9})
    assert marks(said).leg == "o"


def test_an_unanswered_request_ended_at_its_last_hop() -> None:
    said = report(lost=None)
    said["flows"][0]["directions"][1]["verdict"] = "unanswered"
    assert marks(said).places == ("request ada-ec-2/vxlan > -: 9",)


def test_a_finding_without_a_further_hop_names_its_leg() -> None:
    assert marks(report(finding("unknown", leg={"from": 5, "to": None}), lost=None)).places == ("request ada-ec-2/vxlan > -: 9",)


def test_where_nothing_is_lost_any_leg_is_wrong() -> None:
    healthy = Right(verdicts=("delivered",), causes=(None,), code=0)
    assert marks(report(lost=None, verdict="delivered"), 0, right=healthy).good
    assert marks(report(verdict="delivered"), 0, right=healthy).leg == "-"
    assert marks(report(lost=None, verdict="delivered"), 4, right=healthy).verdict == "o"


@pytest.mark.parametrize(("cause", "mark"), [("policy-route", "+"), ("route-missing", "o"), ("unknown", "h"), ("host-firewall", "-")])
def test_the_cause(cause: str, mark: str) -> None:
    assert marks(report(finding(cause))).cause == mark


def test_a_wrong_cause_is_a_lie_where_it_is_sure_of_an_error() -> None:
    assert marks(report(finding("host-firewall"))).lies == ("host-firewall",)
    assert marks(report(finding("host-firewall", confidence="possible"))).lies == ()
    assert marks(report(finding("host-firewall", severity="warning"))).lies == ()
    assert marks(report(finding("server-silent", severity="warning"))).lies == ("server-silent",)
    assert marks(report(finding("route-missing"))).lies == ()


def test_every_further_error_and_warning_counts() -> None:
    said = report(finding("policy-route", remediation="ip rule"), finding("host-firewall", confidence="possible", severity="warning"))
    assert marks(said).extra == ("host-firewall",)
    assert not marks(said).good
    assert marks(report(finding("policy-route"), finding("pod-mtu", severity="info"))).extra == ()


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        (finding("unknown", remediation="look at `ip rule`"), "+"),
        (finding("unknown", summary="to 10.244.56.131"), "+"),
        (finding("unknown", evidence=[{"text": "ip rule: 5270"}]), "o"),
        (finding("unknown", remediation="look at the routing tables"), "o"),
        (finding("unknown", summary="ip rule", remediation="open the security group"), "o"),
        (finding("unknown", summary="10x244.56.131"), "-"),
        (finding("unknown"), "-"),
    ],
    ids=["remedy", "address", "evidence only", "where to begin", "misleading", "dots are dots", "nothing"],
)
def test_the_text(said: dict[str, Any], mark: str) -> None:
    assert marks(report(said)).text == mark


def test_a_remedy_that_breaks_more_and_a_false_delivered() -> None:
    assert marks(report(finding("unknown", remediation="drain the node"))).harmful
    assert not marks(report(finding("unknown", summary="drain"))).harmful
    assert marks(report(lost=None, verdict="delivered"), 0).false == ("false DELIVERED",)


def test_an_unproven_row_is_not_good() -> None:
    assert not marked(row(), unproven=("answers none: 3 answered",)).good
