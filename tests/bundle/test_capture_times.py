"""What the scripts of a dry run write beside their captures."""

import pytest

from kubectl_vxtrace.bundle.capture_times import parse, with_times
from kubectl_vxtrace.model.recording import LooseFile, Ran

START, END = 1_764_489_600_000_000_000, 1_764_489_605_000_000_000


def test_a_line_for_each_capture() -> None:
    text = f"0 {START} {END} a-pod.pcap\n17 {START} - a-vxlan.pcap\n- {START} {END} a-nic.pcap\n"
    assert parse(text) == {
        "a-pod.pcap": Ran(started_ns=START, stopped_ns=END, dropped_by_kernel=0),
        "a-vxlan.pcap": Ran(started_ns=START, dropped_by_kernel=17),
        "a-nic.pcap": Ran(started_ns=START, stopped_ns=END),
    }


@pytest.mark.parametrize(
    "line",
    ["", f"0 {START} {END}", f"0 {START}0 {END} a.pcap", f"-1 {START} {END} a.pcap", f"0 {START} {END} a b", f"٣ {START} {END} a.pcap"],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert parse(line) == {}


def test_they_are_of_the_folder_that_they_lie_in() -> None:
    one, two = LooseFile(path="1", name="a.tgz/pod.pcap"), LooseFile(path="2", name="b.tgz/pod.pcap")
    found = with_times([one, two], {"a.tgz": f"0 {START} {END} pod.pcap\n"})
    assert [file.ran is not None for file in found] == [True, False]
