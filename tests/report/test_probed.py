"""What a report says of probes."""

from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Probe, Recording
from kubectl_vxtrace.model.request import ProbeKind
from kubectl_vxtrace.report.probed import notes, only_probes

PROBES = tuple(Probe(kind=ProbeKind.DNS, address="10.96.0.10", port=53, client_port=41000 + number, sent_ns=number) for number in range(3))
RECORDING = Recording(
    session="7f3a", version="0", started_ns=0, overlay=Overlay(), flows=(), paths=(), probes=PROBES, unprobed=("not sent: no route",)
)


def test_what_was_sent_and_what_was_not() -> None:
    assert list(notes(RECORDING)) == [
        "3 DNS questions to 10.96.0.10 were sent by this trace, from the pod's network namespace and in its place",
        "no probe: not sent: no route",
    ]


def test_a_packet_of_the_pod_itself_is_no_probe() -> None:
    assert only_probes(RECORDING, [("UDP", 41000), ("UDP", 41002)])
    assert not only_probes(RECORDING, [("UDP", 41000), ("UDP", 50000)])
    assert not only_probes(RECORDING, [("TCP", 41000)])
    assert not only_probes(RECORDING, [])
