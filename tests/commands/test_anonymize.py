"""A trace with --anonymize: what is printed and written has pseudonyms, a table on the user's own terminal has not."""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.commands import delivery, pod, stdout
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request, Target
from tests.calico.recorded import raw_answers, recording
from tests.scrubbing import without_payload

REQUEST = Request(command="pod", source=Target(namespace="kotsadm", name="kotsadm"), target=Target(name="kube-dns"), anonymize=True)
LEFT = "kotsadm/vxtrace-7f3a-ada-ec-1"
TRUE = ("kotsadm", "ada-ec", "10.128.0.72", "10.128.0.95", "10.244.114.64")


class Trace:
    """A trace that has recorded what a real Calico's nodes said."""

    session = "7f3a"

    def __init__(self, request: Request, place: Path, *_: object, meanwhile: object) -> None:
        self._request, self._place = request, place

    def run(self) -> Recording:
        made = replace(recording("netpol-egress", self._place), request=self._request)
        assert made.snapshot is not None
        for when, facts in (("before", made.before), ("after", made.after)):
            folder.write_facts(self._place, when, facts, raw_answers("netpol-egress", when))
        folder.write_snapshot(self._place, made.snapshot)
        folder.write_recording(self._place, made)
        return made if self._request.payload else without_payload(made)

    def clean_up(self) -> Cleanup:
        return Cleanup(state=CleanupState.UNCONFIRMED, left=(LEFT,), pods=1)

    def what_may_be_left(self) -> str:
        return ""

    def audit(self) -> list[str]:
        """One request, and one command on a node."""
        return [
            json.dumps({"method": "GET", "path": "/api/v1/namespaces/kotsadm/pods/kotsadm-58f859745b-x4nh8"}),
            json.dumps({"node": "ada-ec-1", "pod": LEFT, "argv": ["ip", "route", "get", "10.128.0.95"]}),
        ]


@pytest.fixture(autouse=True)
def _traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pod, "Trace", Trace)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def run(output: Output, request: Request = REQUEST) -> int:
    return pod.run(request, Stderr(), form=ReportFlags(output=output), bundle="ticket.zip", exits=ExitFlags())


def texts(path: Path) -> Mapping[str, str]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name).decode("latin-1") for name in bundle.namelist()}


@pytest.mark.parametrize("output", [output for output in Output if output is not Output.NAME])
def test_neither_what_is_printed_nor_the_bundle_has_a_true_name(output: Output, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(output) == 5
    said = capsys.readouterr()
    assert [name for name in TRUE if name in said.out] == []
    assert "anonymized" in said.out or output is Output.PACKETS, "that form has nothing but packets"
    found = texts(tmp_path / "ticket.zip")
    assert [(name, true) for name, text in found.items() for true in TRUE if true in name + text] == []
    assert LEFT in said.err
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_bundle_gives_the_verdict_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(Output.JSON)
    printed = json.loads(capsys.readouterr().out)
    (tmp_path / "scratch").mkdir()
    again = examine(open_recording([tmp_path / "ticket.zip"], tmp_path / "scratch")).report
    assert (again.verdict, again.cause, again.summary) == (printed["verdict"], printed["cause"], printed["summary"])
    assert again.metadata.anonymized is printed["metadata"]["anonymized"] is True
    assert (again.verdict, again.cause) == ("dropped", "network-policy-drop")


def test_a_table_on_the_terminal_has_the_true_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stdout, "columns", lambda: 200)
    run(Output.TABLE)
    said = capsys.readouterr()
    assert "ada-ec-1" in said.out
    assert "anonymized" not in said.out
    assert "this table has the true names" in said.err
    assert [name for name, text in texts(tmp_path / "ticket.zip").items() if "ada-ec" in name + text] == []


def test_with_payload_it_is_refused_before_anything_is_made() -> None:
    with pytest.raises(UsageError, match="--payload"):
        run(Output.JSON, replace(REQUEST, payload=True))


def test_what_cannot_be_anonymised_is_not_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object) -> None:
        raise CannotRunError("cannot anonymize: the flows of the report would not be the same", "hint")

    monkeypatch.setattr(delivery, "check_same", refused)
    with pytest.raises(Exception, match="cannot anonymize"):
        run(Output.JSON)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "ticket.zip").exists()
    [kept] = (tmp_path / "temporary").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
