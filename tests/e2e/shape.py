"""The contract's report, written down a second time by hand: which fields there are, of what kind, and which may be null.

A kind is a Python type; `Maybe` may be null always, `FilesOnly` only where nothing but capture files was given, `WhereAny` is only there
where there is something to say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VERDICTS = {"dropped", "lost", "rejected", "unanswered", "undetermined", "no-traffic", "delivered"}


@dataclass(frozen=True)
class Maybe:
    kind: Any


@dataclass(frozen=True)
class FilesOnly:
    kind: Any


@dataclass(frozen=True)
class WhereAny:
    kind: Any


@dataclass(frozen=True)
class OneOf:
    values: set[str]


END = {"address": Maybe(str), "port": Maybe(int), "pod": Maybe(str), "node": Maybe(str)}
HOP = {
    "hop": int,
    "role": OneOf({"pod", "bridge", "vxlan", "underlay"}),
    "node": str,
    "interface": FilesOnly(str),
    "expected": bool,
    "capture": Maybe(int),
    "packets": int,
    "frames": int,
    "control": int,
    "witness": bool,
    "reason": Maybe(str),
    "tuple": Maybe(str),
    "outer": Maybe({"source": str, "destination": str, "port": int, "vni": int}),
}
LEG = {
    "from": int,
    "to": Maybe(int),
    "sent": int,
    "arrived": int,
    "lost": int,
    "undetermined": int,
    "latency_ns": Maybe({"min": int, "median": int, "max": int, "uncertainty": int}),
}
DIRECTION = {"direction": OneOf({"request", "reply"}), "verdict": OneOf(VERDICTS | {"not-applicable"}), "hops": [HOP], "legs": [LEG]}
FLOW = {
    "id": int,
    "protocol": OneOf({"TCP", "UDP", "ICMP"}),
    "connections": int,
    "client": END,
    "server": Maybe(END),
    "candidates": [END],
    "service": Maybe({"address": Maybe(str), "port": Maybe(int), "name": Maybe(str)}),
    "directions": [DIRECTION],
}
PACKET = {
    "id": int,
    "flow": int,
    "direction": OneOf({"request", "reply"}),
    "client_port": Maybe(int),
    "summary": str,
    "outcome": OneOf({"dropped", "lost", "rejected", "undetermined", "delivered"}),
    "sightings": [{"hop": int, "time": str, "frame": int}],
}
FINDING = {
    "cause": str,
    "confidence": OneOf({"certain", "likely", "possible"}),
    "severity": OneOf({"error", "warning", "info"}),
    "flow": Maybe(int),
    "direction": Maybe(OneOf({"request", "reply"})),
    "leg": Maybe({"from": int, "to": Maybe(int)}),
    "packets": int,
    "summary": str,
    "evidence": [
        {
            "kind": OneOf({"packets", "counter", "config", "kernel", "absence"}),
            "text": str,
            "frames": [{"capture": int, "frame": int}],
        }
    ],
    "remediation": Maybe(str),
}
CAPTURE = {
    "id": int,
    "node": str,
    "interface": FilesOnly(str),
    "filter": FilesOnly(str),
    "argv": FilesOnly([str]),
    "started": FilesOnly(str),
    "stopped": FilesOnly(str),
    "snaplen": Maybe(int),
    "received": Maybe(int),
    "captured": Maybe(int),
    "dropped_by_kernel": Maybe(int),
    "file": Maybe(str),
    "bytes": int,
    "sha256": Maybe(str),
}
DEVICE = {
    "node": str,
    "interface": FilesOnly(str),
    "vni": FilesOnly(int),
    "port": FilesOnly(int),
    "mtu": FilesOnly(int),
    "address": FilesOnly(str),
    "underlay_address": FilesOnly(str),
}
REPORT = {
    "apiVersion": OneOf({"vxtrace/v1alpha1"}),
    "kind": OneOf({"TraceReport"}),
    "verdict": OneOf(VERDICTS),
    "impact": OneOf({"total", "partial", "recovered", "none"}),
    "cause": Maybe(str),
    "summary": str,
    "remediation": Maybe(str),
    "metadata": {"session": str, "started": str, "duration_s": float, "version": str, "ticket": Maybe(str)},
    "completeness": {"complete": bool, "blind": [{"node": Maybe(str), "interface": Maybe(str), "reason": str}], "notes": WhereAny([str])},
    "overlay": {"backend": FilesOnly(str), "devices": [DEVICE]},
    "flows": [FLOW],
    "packets": [PACKET],
    "findings": [FINDING],
    "clocks": [{"reference": str, "node": str, "offset_ns": {"low": Maybe(int), "high": Maybe(int)}, "samples": int}],
    "captures": [CAPTURE],
    "cleanup": FilesOnly({"state": OneOf({"confirmed", "unconfirmed", "kept"}), "left": [str]}),
}


def problems(report: Mapping[str, Any], *, files_only: bool = False) -> list[str]:
    """What of a report is not as the contract has it; further fields are allowed."""
    return list(_problems(report, REPORT, "report", files_only))


def _problems(value: Any, kind: Any, where: str, files_only: bool) -> Iterator[str]:
    match kind:
        case Maybe(inner):
            if value is not None:
                yield from _problems(value, inner, where, files_only)
        case WhereAny(inner):
            yield from _problems(value, inner, where, files_only)
        case FilesOnly(inner):
            if value is not None or not files_only:
                yield from _problems(value, inner, where, files_only)
        case OneOf(values):
            if value not in values:
                yield f"{where} is {value!r}"
        case dict():
            if not isinstance(value, dict):
                yield f"{where} is {value!r}"
                return
            missing = (name for name, inner in kind.items() if name not in value and not isinstance(inner, WhereAny))
            yield from (f"{where}.{name} is missing" for name in missing)
            for name in kind.keys() & value.keys():
                yield from _problems(value[name], kind[name], f"{where}.{name}", files_only)
        case [inner]:
            if not isinstance(value, list):
                yield f"{where} is {value!r}"
                return
            for number, item in enumerate(value):
                yield from _problems(item, inner, f"{where}[{number}]", files_only)
        case _:
            # JSON has one kind of number; a bool is none of them.
            wanted = (int, float) if kind is float else kind
            if not isinstance(value, wanted) or (kind is not bool and isinstance(value, bool)):
                yield f"{where} is {value!r}"
