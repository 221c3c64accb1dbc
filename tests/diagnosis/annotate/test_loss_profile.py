"""The profile of a partial loss: what it rules out, proves, and leaves open."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.annotate.loss_profile import Trait, profile
from kubectl_vxtrace.diagnosis.evidence.segment_packets import SegmentPackets
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.model.report import Finding
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_paths
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, A, B

SECOND_NS = 1_000_000_000
COUNT = 40


def crossed(lost_at: list[int], **columns: list[int]) -> SegmentPackets:
    """40 packets, one each second, of which some are lost; of different sizes, each port with five packets, ports and sizes unrelated."""
    number = np.arange(COUNT)
    gone = np.isin(number, lost_at)
    made: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {
        "wire_bytes": 100 + number % 7,
        "outer_port": 50000 + number % 8,
        "flow": np.ones(COUNT, np.int64),
        "first": number % 2,
        "time_s": number,
    }
    made |= {name: np.array(values) for name, values in columns.items()}
    return SegmentPackets(
        lost=gone,
        row=number.astype(np.int32),
        wire_bytes=made["wire_bytes"].astype(np.int32),
        merged=np.zeros(COUNT, np.bool_),
        outer_port=made["outer_port"].astype(np.int32),
        fragmented=np.zeros(COUNT, np.bool_),
        protocol=np.full(COUNT, 17, np.uint8),
        payload_bytes=np.full(COUNT, 40, np.int32),
        flow=made["flow"].astype(np.int32),
        client_port=made["outer_port"].astype(np.int32),
        first=made["first"].astype(np.bool_),
        weight=np.ones(COUNT, np.int32),
        time_ns=made["time_s"].astype(np.int64) * SECOND_NS,
    )


SCATTERED = [3, 4, 11, 12, 22, 37]


def trait(packets: SegmentPackets, word: str) -> Trait:
    """The one trait whose text holds the word."""
    (found,) = (one for one in profile(HEALTHY.case(), packets) if word in one.text)
    return found


def test_a_loss_at_random_rules_everything_out() -> None:
    traits = profile(HEALTHY.case(), crossed(SCATTERED))
    assert [one.text for one in traits] == [
        "of 8 outer source ports 0 lost all, 4 some, 4 none (no path of several is to blame)",
        "lost frames have 101 to 105 bytes, passing ones 100 to 106 (larger ones pass: no limit on the size)",
        "lost are 3 of 20 first packets of connections and 3 of 20 later ones",
        "losses are scattered over 34.0 s without a period",
    ]
    assert not [one.open for one in traits if one.open is not None]


@pytest.mark.parametrize(
    ("packets", "text", "open_"),
    [
        pytest.param(crossed([2, 10, 18, 26, 34]), "of 8 outer source ports 1 lost all, 0 some, 7 none", "a broken path", id="one port"),
        pytest.param(
            crossed(SCATTERED, outer_port=[50000] * COUNT), "all have one outer source port", "there is only one outer", id="only one port"
        ),
        pytest.param(
            crossed(SCATTERED, outer_port=list(range(COUNT))),
            "of 40 outer source ports 6 lost all, 0 some, 34 none, with one packet each",
            "every outer source port has only one packet",
            id="a packet each",
        ),
    ],
)
def test_outer_source_ports(packets: SegmentPackets, text: str, open_: str) -> None:
    found = trait(packets, "outer source port")
    assert text in found.text
    assert found.open is not None
    assert open_ in found.open


def test_bare_packets_have_no_outer_port() -> None:
    assert not [one for one in profile(HEALTHY.case(), crossed(SCATTERED, outer_port=[-1] * COUNT)) if "outer source port" in one.text]


@pytest.mark.parametrize(
    ("lost_at", "sizes", "text", "open_"),
    [
        pytest.param([38, 39], [100] * 38 + [1400] * 2, "only the larger ones are lost", "a limit on the size", id="the larger"),
        pytest.param([39], [100] * 39 + [1400], "lost frames have 1400 bytes, passing ones 100: only", "a limit on the size", id="40 to 1"),
        pytest.param([0, 1], [100] * 38 + [1400] * 2, "larger ones pass", None, id="the smaller"),
        pytest.param([5, 39], [100] * 38 + [1400] * 2, "the largest pass as well", None, id="both"),
        pytest.param([5, 6], [100] * COUNT, "all frames have 100 bytes", None, id="all are alike"),
    ],
)
def test_sizes(lost_at: list[int], sizes: list[int], text: str, open_: str | None) -> None:
    found = trait(crossed(lost_at, wire_bytes=sizes), "bytes")
    assert text in found.text
    assert found.open == open_ if open_ is None else open_ in (found.open or "")


def _backends(shares: tuple[list[int], ...]) -> Trait:
    case = HEALTHY.case()
    ends = (Endpoint(address="10.244.1.1"), Endpoint(address="10.244.2.2"))
    client = Endpoint(address=CLIENT)
    flows = tuple(Flow(id=number, protocol="UDP", client=client, server=end) for number, end in enumerate(ends, 1))
    packets = crossed([place for share in shares for place in share], flow=[1] * 20 + [2] * 20)
    (found,) = (one for one in profile(with_paths(case, flow=flows), packets) if "by backend" in one.text)
    return found


def test_backends() -> None:
    both = _backends(([1, 5], [25]))
    assert (both.text, both.open) == ("by backend 2 of 20 with 10.244.1.1, 1 of 20 with 10.244.2.2", None)
    one = _backends(([], list(range(20, 40))))
    assert (one.text, one.open) == ("by backend 0 of 20 with 10.244.1.1, 20 of 20 with 10.244.2.2", "something about one backend")


@pytest.mark.parametrize(
    ("lost_at", "first", "text", "open_"),
    [
        pytest.param([0, 10], [1, *[0] * 9] * 4, "2 of 4 first packets of connections and 0 of 36 later ones: only new", True, id="new"),
        pytest.param([0, 5], [1, *[0] * 9] * 4, "1 of 4 first packets of connections and 1 of 36 later ones", False, id="both"),
        pytest.param([0, 5], [1] * COUNT, "every packet is the first of its connection", True, id="all are first ones"),
    ],
)
def test_first_packets(lost_at: list[int], first: list[int], text: str, open_: bool) -> None:
    found = trait(crossed(lost_at, first=first), "of its connection" if min(first) else "first packets")
    assert text in found.text
    assert (found.open is not None) is open_


@pytest.mark.parametrize(
    ("lost_at", "text", "open_"),
    [
        pytest.param([3, 9, 15], "too few losses to see a period", "a period or bursts", id="few"),
        pytest.param(list(range(10, 20)), "all losses lie in one stretch of 9.0 s", "an interruption", id="a gap"),
        pytest.param([5, 15, 25, 35], "losses come every 10.00 s", "something that acts every 10.00 s", id="a period"),
        pytest.param([5, 6, 15, 16, 25, 26, 35, 36], "losses come every 10.00 s", "something that acts every 10.00 s", id="bursts"),
        pytest.param(SCATTERED, "scattered", None, id="scattered"),
    ],
)
def test_times(lost_at: list[int], text: str, open_: str | None) -> None:
    found = trait(crossed(lost_at), "losses")
    assert text in found.text
    assert found.open == open_ if open_ is None else open_ in (found.open or "")


def profiles(world: World) -> list[tuple[Finding, str]]:
    """Findings with the text of the profile that they have."""
    return [(one, proof.text) for one in diagnose(world.case()) for proof in one.evidence if proof.text.startswith("loss profile")]


def test_a_partial_loss_between_the_nodes_has_a_profile_and_what_it_leaves_open() -> None:
    ((finding, text),) = profiles(replace(HEALTHY, requests=(Fate(count=6), lost(5, 3, 4), Fate(count=9))))
    assert (finding.cause, text.partition(":")[0]) == ("underlay-loss", "loss profile, 5 of 20 packets")
    assert "an interruption for that time" in finding.not_ruled_out


def test_a_partial_loss_inside_a_node_has_one_too() -> None:
    ((finding, text),) = profiles(replace(HEALTHY, requests=(lost(4, 5, 6), Fate(count=16))))
    assert (finding.cause, text.partition(":")[0]) == ("unknown", "loss profile, 4 of 20 packets")


def test_a_cause_that_is_known_leaves_nothing_of_the_profile_open() -> None:
    large = replace(lost(4, 3, 4), wire_bytes=1460)
    ((finding, _),) = profiles(replace(HEALTHY, requests=(Fate(count=20), large)))
    assert (finding.cause, finding.not_ruled_out) == ("underlay-mtu", ())


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(HEALTHY, id="healthy"),
        pytest.param(replace(HEALTHY, requests=(lost(24, 3, 4),), replies=()), id="total loss"),
        pytest.param(replace(HEALTHY, replies=(), after=(facts(A), facts(B))), id="no reply"),
    ],
)
def test_no_profile_without_a_partial_loss(world: World) -> None:
    assert not profiles(world)
