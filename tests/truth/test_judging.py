"""The judge: what it calls right, and what it does not."""

from dataclasses import replace
from typing import Any

from tests.truth import freshness, page
from tests.truth.__main__ import reached
from tests.truth.cases import Case, Switch, Truth
from tests.truth.healthy import WANTED
from tests.truth.judging import Row, failed, judge
from tests.truth.reports.mechanism import Mechanism, Right
from tests.truth.reports.scoring import marked
from tests.truth.worker import every_case

FAULT = Case(name="calico: host-firewall", backend="calico", switches=(Switch(name="host-firewall"),))
PAIR = Case(
    name="two", backend="calico", switches=(Switch(name="host-firewall", percent=50), Switch(name="underlay-udp-blocked@reply", percent=50))
)
HEALTHY = Case(name="healthy", backend="calico")
HOPS = [("ada-ec-1", "underlay"), ("ada-ec-2", "underlay"), ("ada-ec-2", "vxlan"), ("ada-ec-2", "pod")]


def finding(cause: str, start: int, end: int | None, **more: Any) -> dict[str, Any]:
    usual = {"severity": "error", "confidence": "certain", "flow": 1, "direction": "request", "evidence": [{"kind": "counter"}]}
    return {**usual, "cause": cause, "leg": {"from": start, "to": end}, "summary": "s", **more}


def report(*findings: dict[str, Any], lost: tuple[int, int] | None = None) -> dict[str, Any]:
    hops = [{"hop": number, "node": node, "role": role} for number, (node, role) in enumerate(HOPS, start=1)]
    back = [{"hop": number, "node": node, "role": role} for number, (node, role) in enumerate(reversed(HOPS), start=1)]
    legs = [{"from": lost[0], "to": lost[1], "lost": 3}] if lost else []
    directions = [{"direction": "request", "hops": hops, "legs": legs}, {"direction": "reply", "hops": back, "legs": []}]
    return {"verdict": "lost", "summary": "text", "flows": [{"id": 1, "directions": directions}], "findings": list(findings)}


def only(rows: tuple[Row, ...]) -> Row:
    assert len(rows) == 1
    return rows[0]


def test_leg_and_cause_must_both_be_those_of_the_table() -> None:
    right = only(judge(FAULT, 3, report(finding("host-firewall", 2, 3))))
    assert (right.leg_right, right.cause_right, right.wrong_certain, right.evidence) == (True, True, (), ("counter",))
    elsewhere = only(judge(FAULT, 3, report(finding("host-firewall", 1, 2))))
    assert (elsewhere.leg_right, elsewhere.cause_right) == (False, True)
    assert elsewhere.said_leg == "request ada-ec-1/underlay > ada-ec-2/underlay"


def test_only_the_first_finding_speaks_for_a_single_fault() -> None:
    row = only(judge(FAULT, 3, report(finding("vni-mismatch", 2, 3), finding("host-firewall", 2, 3))))
    assert (row.said, row.leg_right, row.cause_right) == ("vni-mismatch", True, False)
    assert row.wrong_certain == ("vni-mismatch",)


def test_a_wrong_cause_that_is_not_certain_is_wrong_but_not_certain() -> None:
    row = only(judge(FAULT, 3, report(finding("vni-mismatch", 2, 3, confidence="likely"))))
    assert (row.cause_right, row.wrong_certain) == (False, ())


def test_warnings_name_no_cause_and_lost_packets_name_the_leg() -> None:
    row = only(judge(FAULT, 3, report(finding("host-firewall", 2, 3, severity="warning"), lost=(2, 3))))
    assert (row.said, row.leg_right, row.cause_right) == (None, True, False)


def test_a_trace_that_does_not_say_broken_is_wrong_whatever_it_finds() -> None:
    row = only(judge(FAULT, 0, report(finding("host-firewall", 2, 3))))
    assert (row.leg_right, row.cause_right) == (False, False)


def test_of_two_faults_each_needs_its_own_finding() -> None:
    one, two = judge(
        PAIR, 3, report(finding("host-firewall", 2, 3), finding("underlay-loss", 3, 4, direction="reply", confidence="likely"))
    )
    assert (one.leg_right, one.cause_right, two.leg_right, two.cause_right) == (True, True, True, True)
    one, two = judge(PAIR, 3, report(finding("host-firewall", 2, 3)))
    assert (one.cause_right, two.cause_right, two.leg_right) == (True, False, False)


def test_every_further_error_and_warning_is_a_miss_of_its_own() -> None:
    first = finding("host-firewall", 2, 3)
    beside = [finding("pod-mtu", 1, 2, severity="warning"), finding("unknown", 2, 3, severity="info"), finding("vni-mismatch", 3, 4)]
    row = only(judge(FAULT, 3, report(first, *beside)))
    assert (row.leg_right, row.cause_right, row.right) == (True, True, False)
    assert row.extra == (
        "warning pod-mtu (request ada-ec-1/underlay > ada-ec-2/underlay)",
        "error vni-mismatch (request ada-ec-2/vxlan > ada-ec-2/pod)",
    )
    assert only(judge(FAULT, 3, report(first, finding("host-firewall", 2, 3)))).right


def test_the_second_error_must_have_the_leg_as_well() -> None:
    row = only(judge(FAULT, 3, report(finding("host-firewall", 2, 3), finding("host-firewall", 1, 2))))
    assert row.extra == ("error host-firewall (request ada-ec-1/underlay > ada-ec-2/underlay)",)
    swapped = only(judge(FAULT, 3, report(finding("host-firewall", 1, 2), finding("host-firewall", 2, 3))))
    assert (swapped.leg_right, swapped.cause_right) == (False, True)


def test_a_fault_of_the_clients_node_may_be_said_of_each_backend() -> None:
    case = Case(name="calico: underlay-udp-blocked@reply", backend="calico", switches=(Switch(name="underlay-udp-blocked@reply"),))
    one, other = finding("underlay-udp-blocked", 3, 4, direction="reply"), finding("underlay-udp-blocked", 3, 4, direction="reply", flow=2)
    text = report(one, other)
    third = [{**hop, "node": hop["node"].replace("ada-ec-2", "ada-ec-3")} for hop in text["flows"][0]["directions"][1]["hops"]]
    text["flows"].append({"id": 2, "directions": [text["flows"][0]["directions"][0], {"direction": "reply", "hops": third, "legs": []}]})
    assert only(judge(case, 3, text)).right
    assert only(judge(case, 3, {**text, "findings": text["findings"][::-1]})).right
    alone = only(judge(case, 3, {**text, "findings": text["findings"][1:]}))
    assert not alone.leg_right


def test_that_a_tap_behind_a_program_is_blind_is_true() -> None:
    case = Case(name="flannel: xdp-drop", backend="flannel", switches=(Switch(name="xdp-drop"),))
    blind = finding("capture-blind", 1, 2, severity="warning")
    assert only(judge(case, 3, report(finding("xdp-drop", 1, 3), blind))).extra == ()
    assert only(judge(FAULT, 3, report(finding("host-firewall", 2, 3), blind))).extra != ()


def test_what_arrives_in_a_form_that_nobody_asked_for_may_be_missed_anywhere() -> None:
    case = Case(name="bridged", backend="flannel", expected=(Truth(cause="bridge-netfilter-off", direction="reply"),))
    right = only(judge(case, 3, report(finding("bridge-netfilter-off", 3, 4, direction="reply"))))
    assert (right.leg_right, right.cause_right, right.extra, right.expected_leg) == (True, True, (), "reply, anywhere")
    assert not only(judge(case, 3, report(finding("bridge-netfilter-off", 3, 4)))).leg_right
    assert not only(judge(case, 0, report(finding("bridge-netfilter-off", 3, 4, direction="reply", severity="warning")))).right


def test_what_is_beside_two_faults_counts_once() -> None:
    both = (finding("host-firewall", 2, 3), finding("underlay-loss", 3, 4, direction="reply"))
    one, two = judge(PAIR, 3, report(*both, finding("pod-mtu", 1, 2, severity="warning")))
    assert [len(row.extra) for row in (one, two)] == [1, 0]


def test_any_finding_on_a_healthy_path_is_a_miss() -> None:
    assert only(judge(HEALTHY, 0, report())).cause_right
    assert not only(judge(HEALTHY, 0, report(finding("unknown", 1, 2, severity="info")))).cause_right
    assert not only(judge(HEALTHY, 4, report())).cause_right


def test_a_port_that_nat_rewrote_by_chance_is_none() -> None:
    note = finding("nat-port-rewritten", 1, 2, severity="info")
    assert only(judge(HEALTHY, 0, report(note))).cause_right
    assert not only(judge(HEALTHY, 0, report(note | {"severity": "warning"}))).cause_right


TOLD = Case(
    name="flannel: told",
    backend="flannel",
    expected=(Truth(cause="capture-blind", severity="warning", code=4),),
    synthesised="a synthesised one",
)


def test_what_loses_nothing_needs_its_warning_and_no_other_finding() -> None:
    blind = finding("capture-blind", 1, 2, severity="warning", leg=None, flow=None)
    row = only(judge(TOLD, 4, report(blind)))
    assert (row.leg_right, row.cause_right, row.expected_leg, row.wrong_certain) == (True, True, "none (warning)", ())
    assert not only(judge(TOLD, 4, report())).cause_right
    assert not only(judge(TOLD, 0, report(blind))).cause_right
    assert not only(judge(TOLD, 4, report(dict(blind, severity="info")))).cause_right
    lossy = only(judge(TOLD, 4, report(blind, lost=(1, 2))))
    assert (lossy.leg_right, lossy.said_leg) == (False, "request ada-ec-1/underlay > ada-ec-2/underlay")
    more = only(judge(TOLD, 4, report(blind, finding("unknown", 1, 2, severity="info", confidence="certain"))))
    assert (more.cause_right, more.said, more.wrong_certain) == (False, "unknown", ("unknown",))


def test_a_trace_without_a_report_is_a_miss_in_every_row() -> None:
    rows = failed(PAIR, "exit -11")
    assert [row.expected for row in rows] == ["host-firewall", "underlay-loss"]
    assert not any(row.leg_right or row.cause_right for row in rows)


def test_the_figures_ask_for_every_leg_and_nearly_every_cause() -> None:
    right = judge(FAULT, 3, report(finding("host-firewall", 2, 3))) * 19
    unknown = judge(FAULT, 3, report(finding("unknown", 2, 3)))
    healthy = judge(HEALTHY, 0, report())
    assert not reached([*right, *unknown, *healthy])  # it is certain of another cause
    unsure = judge(FAULT, 3, report(finding("unknown", 2, 3, confidence="possible")))
    assert reached([*right, *unsure, *healthy])
    assert not reached([*right, *unsure * 2, *healthy])
    elsewhere = judge(FAULT, 3, report(finding("host-firewall", 1, 2)))
    assert not reached([*right, *elsewhere, *healthy])
    assert not reached([*right, *healthy, *judge(HEALTHY, 4, report())])


def test_the_page_lists_every_miss_and_counts() -> None:
    rows = [*judge(FAULT, 3, report(finding("host-firewall", 2, 3))), *judge(FAULT, 3, report(finding("vni-mismatch", 2, 3)))]
    real = replace(FAULT, on="cluster")
    text = page.page([*((FAULT, row) for row in rows), (real, rows[0]), (HEALTHY, judge(HEALTHY, 0, report())[0])], [], 2)
    assert "- Lab: leg right 2 of 2 (100.0 %), cause right 1 of 2 (50.0 %)." in text
    assert "- Real Kubernetes: leg right 1 of 1 (100.0 %), cause right 1 of 1 (100.0 %)." in text
    assert text.count("## Faults of") == 2
    assert "Wrong causes said `certain`: 1." in text
    assert "cause vni-mismatch, not host-firewall; certain of vni-mismatch, which is not on" in text
    assert "**2 cases have not been run.**" in text
    assert freshness.written() in text
    assert "1 traces of 1 kinds" in text
    assert page.may_miss(text, FAULT.name)


def test_the_page_has_the_second_table_with_its_misses() -> None:
    row = Mechanism(
        name="good", kind="kind", source="k3s-io/k3s#1", backend="flannel", inject=(), proof=(), right=Right(causes=("unknown",))
    )
    good = marked(row, leg="+", verdict="+", cause="+", text=".")
    bad = replace(good, title="report: bad", cause="h", extra=("pod-mtu",), said="lost, unknown: LOST")
    unproven = replace(good, title="report: unproven", unproven=("answers none: 3 answered, 0 not",))
    text = page.page([], [good, bad, unproven], 0)
    assert "| good | [k3s-io/k3s#1](https://github.com/k3s-io/k3s/issues/1) | flannel | `+` | `+` | `+` | `.` |  |" in text
    assert "- Reports: 2 proven, 1 not; all right 1." in text
    assert "- Reports, cause: right 1, honestly unknown 1 of 2." in text
    assert "- report: bad: cause honestly unknown; extra: pod-mtu. lost, unknown: LOST" in text
    assert "- report: unproven: unproven, counts nowhere: answers none: 3 answered, 0 not" in text
    wrong = [title for title in ("good", "bad", "unproven", "of another page") if page.may_miss(text, f"report: {title}")]
    assert wrong == ["bad", "unproven", "of another page"]


def test_there_are_forty_faults_and_two_hundred_healthy_paths_with_different_names() -> None:
    cases = every_case()
    assert len({case.name for case in cases}) == len(cases)
    assert len({str(switch) for case in cases if case.on == "lab" for switch in case.switches}) >= 40
    assert sum(not case.truths() and not case.synthesised for case in cases) >= WANTED == 200


def test_the_truth_of_a_part_and_of_another_node() -> None:
    part = Case(name="part", backend="calico", switches=(Switch(name="underlay-udp-blocked", node="ada-ec-3", percent=30),))
    found = part.truths()[0]
    assert (found.cause, found.start, found.end) == ("underlay-loss", "ada-ec-1/underlay", "ada-ec-3/underlay")
