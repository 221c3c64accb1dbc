"""Which sizes pass each leg, and the sentences on it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.report.leg_sizes import fitting_bytes, leg_sizes, size_notes
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.request import Request, Target
from tests.diagnosis.build import HEALTHY, Fate, lost

_HEADERS_BYTES = 28
_SIZES = (576, 1000, 1360, 1361, 1410)


def _echo(size: int, fate: Fate) -> Fate:
    return replace(fate, segment=(0, 0, 0, size - _HEADERS_BYTES))


def _case(requests: Sequence[Fate], replies: Sequence[Fate] = (), *, mtu: bool = True) -> Case:
    world = replace(HEALTHY, protocol="ICMP", requests=tuple(requests), replies=tuple(replies) or None)
    case = world.case()
    asked = Request(command="pod", source=Target(name="kotsadm"), target=Target(name="kube-dns"), mtu=mtu)
    return replace(case, recording=replace(case.recording, request=asked))


def _of(case: Case) -> dict[tuple[str, int, int | None], tuple[int | None, int | None]]:
    return {(each.direction.value, each.from_, each.to): (each.largest_passed_bytes, each.smallest_lost_bytes) for each in leg_sizes(case)}


ALL_PASS = [_echo(size, Fate(count=2)) for size in _SIZES]
BLACK_HOLE = [_echo(size, Fate(count=2) if size <= 1360 else lost(2, 3, 4)) for size in _SIZES]


def test_where_all_pass_the_largest_is_said() -> None:
    case = _case(ALL_PASS, ALL_PASS)
    assert set(_of(case).values()) == {(1410, None)}
    assert size_notes(case, leg_sizes(case)) == (
        "kotsadm/kotsadm-1 to kube-system/coredns-b: packets of up to 1410 bytes arrive",
        "kube-system/coredns-b to kotsadm/kotsadm-1: packets of up to 1410 bytes arrive",
    )


def test_the_leg_on_which_larger_ones_vanish() -> None:
    case = _case(BLACK_HOLE)
    found = _of(case)
    assert found["request", 1, 2] == found["request", 2, 3] == (1410, None)
    assert found["request", 3, 4] == (1360, 1361)
    assert found["request", 5, 6] == (1360, None)
    assert size_notes(case, leg_sizes(case))[0].endswith(
        ": packets of up to 1360 bytes arrive; those of 1361 and more vanish between ada-ec-1/ens4 and ada-ec-2/ens4"
    )


def test_losses_of_any_size_are_no_limit() -> None:
    some = [_echo(576, lost(1, 3, 4)), *ALL_PASS]
    assert (
        "what vanishes between ada-ec-1/ens4 and ada-ec-2/ens4 is of any size from 576 bytes on"
        in size_notes(_case(some), leg_sizes(_case(some)))[0]
    )


def test_where_nothing_arrives_no_size_is_named_as_the_largest() -> None:
    case = _case([_echo(size, lost(2, 3, 4)) for size in _SIZES])
    assert _of(case)["request", 3, 4] == (None, 576)
    assert ": no packet of any size arrives; those of 576 and more vanish between" in size_notes(case, leg_sizes(case))[0]


def test_what_nothing_ends_is_a_leg_as_well() -> None:
    case = _case([_echo(size, Fate(count=2) if size <= 1360 else lost(2, 6, None)) for size in _SIZES])
    assert _of(case)["request", 6, None] == (1360, 1361)
    assert "those of 1361 and more vanish after ada-ec-2/" in size_notes(case, leg_sizes(case))[0]


def test_what_fits_everywhere_is_what_fits_the_narrowest_way() -> None:
    assert fitting_bytes(leg_sizes(_case(ALL_PASS, ALL_PASS[:2]))) == 1000
    assert fitting_bytes(leg_sizes(_case([_echo(size, lost(2, 3, 4)) for size in _SIZES], ALL_PASS))) is None
    assert fitting_bytes(()) is None


@pytest.mark.parametrize("case", [_case(ALL_PASS, mtu=False), HEALTHY.case()], ids=["not asked for", "no request"])
def test_nothing_is_said_of_sizes_unless_it_was_asked_for(case: Case) -> None:
    assert leg_sizes(case) == ()
    assert size_notes(case, ()) == ()
