"""What a trace does where its folder cannot be written to, and what it says of its pods."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.path import Overlay, Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from kubectl_vxtrace.model.request import Access, Request, Target
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.trace import Trace

RECORDING = Recording(session="7f3a", version="0", started_ns=1, overlay=Overlay(), flows=(), paths=())
TASK = CaptureTask(id=1, tap=Tap(node="a", interface="eth0"), role=Role.POD, file="a-pod.pcap")


def _trace(folder: Path, access: Access) -> Trace:
    request = Request(command="pod", source=Target(name="web"), target=Target(name="api"), access=access)
    return Trace(request, folder, Stderr(), Interruption())


def test_what_was_captured_is_reported_where_the_folder_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    trace = _trace(folder, Access())
    assert trace._keep(RECORDING).folder == str(folder)
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="No such file"):
        trace._keep(RECORDING)  # nothing was captured yet: there is no use in going on
    captured = replace(RECORDING, captures=(CaptureResult(task=TASK, status=CaptureStatus.FAILED),))
    assert trace._keep(captured).captures == captured.captures
    assert capsys.readouterr().err == f"warning: cannot write into {folder}: No such file or directory\n"


class _Pods:
    namespace = "shop"
    state = CleanupState.UNCONFIRMED

    def delete(self) -> Cleanup:
        return Cleanup(state=self.state, left=())


def test_pods_that_may_be_left_are_named_with_the_way_to_remove_them(tmp_path: Path) -> None:
    trace = _trace(tmp_path, Access(context="a b"))
    assert trace.what_may_be_left() == ""
    trace._pods = _Pods()  # type: ignore[assignment]
    line = f"kubectl delete pods --context 'a b' --namespace shop --selector vxtrace/session={trace.session}"
    assert trace.what_may_be_left() == f"debug pods may be left: {line}, or in two minutes: kubectl vxtrace cleanup"
    trace.clean_up()
    assert trace.what_may_be_left() != ""
    _Pods.state = CleanupState.CONFIRMED
    trace.clean_up()
    assert trace.what_may_be_left() == ""
