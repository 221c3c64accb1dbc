"""The line that is shown while captures run."""

from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.request import Limits
from kubectl_vxtrace.progress import Progress
from tests.capture.pings import LEFT, RIGHT, plan

PLAN = plan((Role.POD, LEFT, "cali1"), (Role.UNDERLAY, LEFT, "ens4"), (Role.UNDERLAY, RIGHT, "ens4"), limits=Limits(duration_s=15.0))


def test_the_time_that_is_left_and_what_each_hop_has_seen() -> None:
    now = [100.0]
    progress = Progress(PLAN, clock=lambda: now[0])
    assert progress.text() == "15 s left, Ctrl-C: stop and report"
    first, second, third = (task.id for task in PLAN.tasks)
    progress.counted({first: 24, second: 12})
    progress.counted({second: 26})
    now[0] = 112.5
    assert progress.text() == f"3 s left, Ctrl-C: stop and report | {LEFT}: cali1 24, ens4 26 packets"
    progress.counted({third: 0})
    assert progress.text().endswith(f" | {RIGHT}: ens4 0 packets")
    now[0] = 120.0
    assert progress.text().startswith("0 s left")
