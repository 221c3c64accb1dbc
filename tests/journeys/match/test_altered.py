"""What arrives with other bytes than it left with is one packet, where its outer header says so."""

import pytest

from kubectl_vxtrace.model.journeys import OutcomeCode
from tests.journeys.build import follow_all, hop_packets, journeys_of, lost_of
from tests.wire import simulator as wire

NIC = ("ada-ec-2", wire.NIC)
SERVER = next(server for server, node in wire.SERVERS.items() if node == "ada-ec-2")


def damaged(*, goes_on: bool = False, header: int | None = None, count: int = 9) -> wire.Simulator:
    """Datagrams to a server, of which every third arrives with another last byte and goes no further, or does; `header`: a byte of the
    outer packet that differs as well."""
    simulator = wire.Simulator()
    for number in range(count):
        at = wire.EPOCH + number * wire.SECOND
        simulator.udp(SERVER, time_ns=at, payload=bytes([number]) * 40, client_port=40_000 + number, ident=number + 1)
    for tap, frames in simulator.files.items():
        on_the_way = sorted(frames)
        for number in range(0, len(on_the_way), 3):
            time_ns, frame = on_the_way[number]
            changed = bytearray(frame[:-1] + b"\xff")
            if header is not None:
                changed[header] ^= 0x55
            if tap == NIC or (goes_on and tap[0] == NIC[0]):
                frames[frames.index((time_ns, frame))] = (time_ns, bytes(changed))
            elif tap[0] == NIC[0]:
                frames.remove((time_ns, frame))
    return simulator


def test_a_damaged_packet_is_lost_once_where_it_was_refused() -> None:
    case = follow_all(damaged())
    assert lost_of(case, SERVER) == {(4, 5): 3}
    assert hop_packets(case, SERVER) == [9, 9, 9, 9, 6, 6]


@pytest.mark.parametrize("header", [14 + 4, 14 + 20], ids=["another IP ID", "another source port"])
def test_another_outer_header_is_another_packet(header: int) -> None:
    case = follow_all(damaged(header=header))
    assert lost_of(case, SERVER) == {(3, 4): 3, (4, 5): 3}


def test_what_goes_on_with_other_bytes_is_no_arrival_of_what_was_sent() -> None:
    case = follow_all(damaged(goes_on=True))
    assert lost_of(case, SERVER) == {(3, 4): 3}
    assert (journeys_of(case, SERVER).outcome == OutcomeCode.DELIVERED).sum() == 9
