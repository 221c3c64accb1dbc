"""Whom the packed program trusts where a kubeconfig names nobody."""

import sys
from pathlib import Path

import pytest

from kubectl_vxtrace.kube import authorities
from kubectl_vxtrace.kube.authorities import packed_program_s
from tests.kube.test_overrides import CA, reached


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str, str]:
    second, third = tmp_path / "second", tmp_path / "third"
    second.write_text("")
    third.write_text("")
    return str(tmp_path / "first"), str(second), str(third)


@pytest.fixture
def _packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)


@pytest.mark.usefixtures("_packed")
def test_the_first_file_that_there_is(places: tuple[str, str, str]) -> None:
    assert packed_program_s({}, places) == places[1]
    assert packed_program_s({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, places) == places[1]


@pytest.mark.usefixtures("_packed")
def test_a_folder_of_that_name_is_none(tmp_path: Path) -> None:
    assert packed_program_s({}, [str(tmp_path)]) is None


@pytest.mark.usefixtures("_packed")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_user_s_word_is_openssl_s(places: tuple[str, str, str], variable: str) -> None:
    assert packed_program_s({variable: "/my"}, places) is None


def test_an_installed_plugin_leaves_it_to_its_python(places: tuple[str, str, str]) -> None:
    assert packed_program_s({}, places) is None


def test_a_kubeconfig_s_own_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system.pem"
    system.write_bytes(Path(CA).read_bytes())
    monkeypatch.setattr(authorities, "packed_program_s", lambda _environ: str(system))
    assert reached(tmp_path).configuration.ssl_ca_cert == str(system)
    assert reached(tmp_path, None, {"certificate-authority": CA}).configuration.ssl_ca_cert == CA
