from dataclasses import replace

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.report import EvidenceKind, Severity
from tests.diagnosis.build import CLIENT, HEALTHY, SERVER, SERVICE, Frame, World


def silent(world: World) -> World:
    """`world` without a packet of its flow."""
    return replace(world, requests=(), replies=None)


def test_frames_between_the_ends_that_are_of_no_flow_are_noted_with_each_tap() -> None:
    asked = Frame(source=CLIENT, destination=SERVICE, source_port=40000, destination_port=8080)
    bare = Frame(source=SERVER, destination=CLIENT, source_port=8080, destination_port=40000)
    case = silent(replace(HEALTHY, extra={1: (asked,) * 3, 3: (bare,)})).case()
    (note,) = diagnose(replace(case, paths=()))
    assert (note.cause, note.severity, note.packets) == ("unknown", Severity.INFO, 3)
    assert [(proof.kind, proof.text) for proof in note.evidence] == [
        (EvidenceKind.PACKETS, f"3 x {CLIENT} > {SERVICE} at ada-ec-1/cali9d8b6a7d855"),
        (EvidenceKind.PACKETS, f"1 x {SERVER} > {CLIENT} at ada-ec-1/ens4"),
    ]


def test_frames_of_others_are_not_noted() -> None:
    other = Frame(source=CLIENT, destination="10.8.8.8", source_port=40000, destination_port=443)
    assert diagnose(replace(silent(replace(HEALTHY, extra={1: (other,)})).case(), paths=())) == ()


def test_nothing_is_noted_where_a_flow_was_followed() -> None:
    assert diagnose(HEALTHY.case()) == ()
