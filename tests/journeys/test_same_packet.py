"""The table of what survives what, against captures whose truth is known; and the keys that are made from it."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from kubectl_vxtrace.journeys import same_packet
from kubectl_vxtrace.journeys.same_packet import ALTERED, Event, Field, Key, key_columns, number_packets
from kubectl_vxtrace.journeys.unpack.hop_frames import empty_table
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Hop, Role
from tests.journeys.build import lookups, record, tables_of
from tests.wire import simulator as wire

KEYS = {name: key for name, key in vars(same_packet).items() if isinstance(key, Key)}
OF_FRAMES = tuple(same_packet._COLUMN)
AT = wire.EPOCH


def _columns(table: PacketTable, field: Field) -> NDArray[np.uint64]:
    (column,) = key_columns(Key(fields=(field,), across=frozenset()), table, slice(None))
    return column


def _neighbours() -> Iterator[tuple[Hop, Hop, frozenset[Field]]]:
    """Neighbouring hops of a path through a Service over the overlay, and the fields that differ there."""
    simulator = wire.Simulator()
    lookups(simulator, 4)
    tables = tables_of(simulator)
    path = record(simulator).paths[0]
    for before, after in zip(path.hops, path.hops[1:], strict=False):
        left, right = tables[before.tap], tables[after.tap]
        assert len(left) == len(right) == 8
        differ: set[Field] = {
            field
            for field in OF_FRAMES
            if field not in (Field.CONVERSATION, Field.TUNNEL) and (_columns(left, field) != _columns(right, field)).any()
        }
        if (left.conversations.destination[left.conversation] != right.conversations.destination[right.conversation]).any():
            differ.add(Field.CONVERSATION)
        if ((left.tunnel >= 0) != (right.tunnel >= 0)).any():
            differ.add(Field.TUNNEL)
        yield before, after, frozenset(differ)


def test_what_differs_between_two_hops_is_what_lies_between_them() -> None:
    found = {(before.role, after.role): differ for before, after, differ in _neighbours()}
    assert found[Role.POD, Role.VXLAN] == ALTERED[Event.FORWARDING] | ALTERED[Event.DNAT]
    assert found[Role.VXLAN, Role.UNDERLAY] == ALTERED[Event.ENCAPSULATION]
    assert found[Role.UNDERLAY, Role.UNDERLAY] == frozenset()
    assert found[Role.UNDERLAY, Role.VXLAN] == ALTERED[Event.ENCAPSULATION]
    assert found[Role.VXLAN, Role.POD] == ALTERED[Event.FORWARDING]


def test_a_super_packet_begins_as_its_first_packet() -> None:
    simulator = wire.Simulator(service=None)
    simulator.bulk(wire.FIRST, time_ns=AT, client_port=40_000, seq=7, segments=4, mss=1358, ident=9, merge=(4, 4, 4, 1, 1, 1), vanished={})
    tables = tables_of(simulator)
    hops = record(simulator, protocol="TCP", port=80).paths[0].hops
    merged, parts = tables[hops[0].tap], tables[hops[-1].tap]
    assert (len(merged), len(parts)) == (1, 4)
    of_first = {field for field in OF_FRAMES if _columns(merged, field)[0] != _columns(parts, field)[0]}
    assert of_first - {Field.TTL} <= ALTERED[Event.OFFLOAD]
    assert Field.PAYLOAD_BYTES in of_first
    of_rest = {field for field in OF_FRAMES if (_columns(merged, field) != _columns(parts, field)[1:]).all()}
    assert {Field.SEQ, Field.IP_ID} <= of_rest
    assert of_rest - {Field.TTL} <= ALTERED[Event.OFFLOAD_REST]


def test_every_event_has_its_row() -> None:
    assert set(ALTERED) == set(Event)


@pytest.mark.parametrize("name", KEYS)
def test_no_key_compares_what_its_events_alter(name: str) -> None:
    for event in KEYS[name].across:
        assert not ALTERED[event] & set(KEYS[name].fields)


@pytest.mark.parametrize("event", [event for event in Event if ALTERED[event]])
def test_such_a_key_cannot_be_made(event: Event) -> None:
    with pytest.raises(ValueError, match="alters"):
        Key(fields=tuple(sorted(ALTERED[event])), across=frozenset({event}))


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if set(key.fields) <= set(OF_FRAMES)])
def test_a_key_differs_where_one_of_its_fields_does(name: str) -> None:
    simulator = wire.Simulator()
    lookups(simulator, 6)
    (table, *_) = tables_of(simulator).values()
    numbers = number_packets([key_columns(KEYS[name], table, slice(None))])
    rows = list(zip(*(_columns(table, field).tolist() for field in KEYS[name].fields), strict=True))
    assert [[left == right for right in numbers] for left in numbers] == [[left == right for right in rows] for left in rows]


def test_fields_do_not_run_into_each_other() -> None:
    widest = {field: np.array([0, (1 << bits) - 1, 1], dtype=np.uint64) for field, bits in same_packet._WIDTH_BITS.items()}
    for key in KEYS.values():
        for field in key.fields:
            given = {other: widest[other] if other is field else np.zeros(3, dtype=np.uint64) for other in key.fields}
            numbers = number_packets([key_columns(key, empty_table(), slice(0, 0), given)])
            assert len(set(numbers.tolist())) == 3, (field, key)
