"""The lab's records survive being written and read."""

import dataclasses
from pathlib import Path

import pytest

from tests.datapath import records, shape


@pytest.mark.parametrize("backend", ["calico", "flannel"])
def test_what_was_saved_is_what_is_loaded(tmp_path: Path, backend: str) -> None:
    lab = shape.lab(backend, 3, str(tmp_path))
    records.save(lab)
    assert records.load(tmp_path) == lab


def test_no_lab_is_none(tmp_path: Path) -> None:
    assert records.load(tmp_path / "nothing") is None


def test_the_state_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(records.STATE_VARIABLE, str(tmp_path))
    assert records.state_dir() == tmp_path
    records.save(shape.lab("calico", 2, str(tmp_path)))
    loaded = records.load()
    assert loaded is not None
    assert len(loaded.nodes) == 2
    monkeypatch.delenv(records.STATE_VARIABLE)
    assert records.state_dir() == records.DEFAULT_STATE_DIR


def test_a_foreign_file_is_an_error_not_a_lab(tmp_path: Path) -> None:
    (tmp_path / records.RECORD_FILE).write_text('{"backend": "calico"}')
    with pytest.raises(KeyError):
        records.load(tmp_path)


def test_endpoints_are_the_running_pods_that_the_selector_picks() -> None:
    lab = shape.lab("calico", 3, "/nowhere")
    services = {service.name: service for service in lab.services}
    assert [pod.address for pod in lab.endpoints(services["kube-dns"])] == ["10.244.56.129", "10.244.106.65"]
    assert lab.endpoints(services["postgres"]) == ()
    assert lab.endpoints(dataclasses.replace(services["kube-dns"], selector={})) == ()


def test_an_unknown_node_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        shape.lab("calico", 2, "/nowhere").node("ada-ec-3")
