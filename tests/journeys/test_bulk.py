"""Bulk traffic, small: the report says what happened, on every flow, in both directions."""

from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse
from tests.bench.bulkrecording import record
from tests.bench.bulkrun import differences
from tests.wire.bulk import Bulk
from tests.wire.bulkdraw import Loss

SKEW_NS = {"ada-ec-2": 40_000_000, "ada-ec-3": -900_000}


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("pcapng", [True, False])
def test_nothing_is_lost(gso: bool, pcapng: bool, tmp_path: Path) -> None:
    source = Bulk(gso=gso, pcapng=pcapng, skew_ns=SKEW_NS)
    truth = source.write(tmp_path, 8_000, per_chunk=3_000)
    report = analyse(record(source, truth, tmp_path))
    assert differences(report, truth) == []
    assert truth.lost.total() == 0
    assert report.verdict == "delivered"


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("gso", [True, False])
def test_every_loss_is_named_on_its_leg(after: int, gso: bool, tmp_path: Path) -> None:
    source = Bulk(gso=gso, loss=Loss(after=after, one_in=37), skew_ns=SKEW_NS)
    truth = source.write(tmp_path, 8_000)
    report = analyse(record(source, truth, tmp_path))
    if after > 1:  # of what vanished before its address was translated nothing names the server
        assert differences(report, truth) == []
    assert truth.lost.total() > 100
    legs = [leg for flow in report.flows for direction in flow.directions for leg in direction.legs]
    assert sum(leg.lost for leg in legs if leg.from_ == after) == truth.lost.total()


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
        Bulk(seed=5).write(folder, 500)
    names = sorted(path.name for path in folders[0].iterdir())
    assert len(names) == 12
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)


def test_a_report_that_differs_is_found_out(tmp_path: Path) -> None:
    source = Bulk(loss=Loss(after=3, one_in=37))
    truth = source.write(tmp_path, 2_000)
    report = analyse(record(source, truth, tmp_path))
    truth.lost[0, 0, False] += 1
    assert len(differences(report, truth)) == 1
