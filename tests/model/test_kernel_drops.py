"""Drops that a kernel named, beside packets that were seen last shortly before."""

from collections.abc import Sequence

import numpy as np
import pytest

from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.kernel_drops import DROP_WITHIN_NS, FittingDrops, fitting_drops

_MS = 1_000_000
# Ten packets, one each second of a capture of 15 s.
SEEN_NS = np.arange(1, 11, dtype=np.int64) * 1_000 * _MS


def _drops(times_ms: Sequence[float], reason: str = "NETFILTER_DROP", uncertainty_ns: int = 0) -> list[KernelDrop]:
    return [
        KernelDrop(node="node-a", time_ns=int(ms * _MS), reason=reason, location="nf_hook_slow", uncertainty_ns=uncertainty_ns)
        for ms in times_ms
    ]


def _after(late_ms: float, count: int = 10) -> list[float]:
    """A drop behind each of the first `count` packets."""
    return [1_000 * second + late_ms for second in range(1, count + 1)]


@pytest.mark.parametrize(
    ("times_ms", "packets"),
    [
        pytest.param(_after(0.05), 10, id="each"),
        pytest.param(_after(9.9), 10, id="just in time"),
        pytest.param(_after(0.05, count=9), 9, id="nine of ten"),
        pytest.param(_after(0.05, count=8), None, id="eight of ten"),
        pytest.param(_after(10.1), None, id="too late"),
        pytest.param(_after(-0.1), None, id="before they were seen"),
        pytest.param([1_000.1] * 10, None, id="all behind one packet"),
        pytest.param([*_after(0.05), *range(0, 15_000, 7)], None, id="so many that they fit by chance"),
        pytest.param([*_after(0.05), 500, 1_500], 10, id="beside two others"),
    ],
)
def test_nearly_each_packet_has_a_drop_of_its_own(times_ms: Sequence[float], packets: int | None) -> None:
    fits = fitting_drops(_drops(times_ms), SEEN_NS, 15.0)
    assert [fit.packets for fit in fits] == ([packets] if packets is not None else [])


def test_a_doubt_of_the_clocks_widens_the_window() -> None:
    late = _drops(_after(12), uncertainty_ns=1 * _MS)
    assert fitting_drops(late, SEEN_NS, 15.0) == ()
    assert fitting_drops(late, SEEN_NS, 15.0, unsure_ns=2 * _MS) == (
        FittingDrops(reason="NETFILTER_DROP", location="nf_hook_slow", packets=10, within_ns=DROP_WITHIN_NS + 3 * _MS),
    )


def test_each_kind_of_drop_is_measured_alone() -> None:
    both = [*_drops(_after(0.05), "NETFILTER_DROP"), *_drops(_after(0.05, count=5), "NO_SOCKET")]
    assert [fit.reason for fit in fitting_drops(both, SEEN_NS, 15.0)] == ["NETFILTER_DROP"]
    assert fitting_drops([*_drops(_after(0.05)[::2], "NETFILTER_DROP"), *_drops(_after(0.05)[1::2], "NO_SOCKET")], SEEN_NS, 15.0) == ()
