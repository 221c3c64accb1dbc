"""The scripts of the shells, and what is installed for kubectl's own completion."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_vxtrace.commands import completion
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.flags.values import CompletionShell
from tests.command import ROOT, call


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with the plugin in it, as it is called in this checkout; nothing else of ours is on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    plugin = folder / completion.PLUGIN
    plugin.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m kubectl_vxtrace "$@"\n')
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    return folder


def test_it_is_written_beside_the_plugin_once(place: Path) -> None:
    assert completion.install() == (place / completion.SHIM, False)
    before = (place / completion.SHIM).stat()
    assert os.access(place / completion.SHIM, os.X_OK)
    assert completion.install() == (place / completion.SHIM, True)
    assert (place / completion.SHIM).stat() == before
    assert sorted(path.name for path in place.iterdir()) == [completion.PLUGIN, completion.SHIM]


def test_what_an_older_version_wrote_is_renewed(place: Path) -> None:
    completion.install()
    script = (place / completion.SHIM).read_text()
    (place / completion.SHIM).write_text(script + "# older\n")
    assert completion.install() == (place / completion.SHIM, False)
    assert (place / completion.SHIM).read_text() == script


def test_a_file_of_somebody_elses_is_not_touched(place: Path, tmp_path: Path) -> None:
    foreign = place / completion.SHIM
    foreign.write_text("#!/bin/sh\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="is not ours"):
            completion.install()
        foreign.chmod(0o755)
    assert foreign.read_text() == "#!/bin/sh\n"


def test_where_the_plugins_folder_cannot_be_written_to_another_of_the_users_is_taken(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / "bin"
    own.mkdir(parents=True)
    written = completion._written

    def refused(path: Path) -> bool:
        if path.parent == place:
            raise PermissionError(13, "Permission denied")
        return written(path)

    monkeypatch.setattr(completion, "_written", refused)
    with pytest.raises(CannotRunError, match=f"{place}: Permission denied") as caught:
        completion.install()
    assert ".local/bin" in caught.value.hint
    monkeypatch.setenv("PATH", f"{place}:{own}:/usr/bin:/bin")
    assert completion.install() == (own / completion.SHIM, False)


def test_without_the_plugin_on_the_path_there_is_no_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(CannotRunError, match="is not on the PATH"):
        completion.install()


def test_what_is_installed_answers_as_kubectl_asks(place: Path) -> None:
    assert call("completion", "install").stdout == f"{place / completion.SHIM} was written\n"
    assert call("completion", "install").stdout == f"{place / completion.SHIM} is there already\n"
    asked = [completion.SHIM, "pod", "x", "--color", ""]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "auto\nalways\nnever\n:4\n"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kubectl_completes_the_plugin(place: Path) -> None:
    completion.install()
    found = shutil.which("kubectl", path=os.environ["PATH"])
    if found is None:
        pytest.skip("kubectl is not in /usr/bin")
    done = subprocess.run([found, "__complete", "vxtrace", "explain", "underlay-u"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["underlay-udp-blocked", ":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_of_its_shell(shell: str, tmp_path: Path) -> None:
    done = call("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "__complete" in done.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    script = tmp_path / "script"
    script.write_text(done.stdout)
    subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["kubectl-vxtrace", "exp"], ["explain"]),
        (["kubectl-vxtrace", "explain", "underlay-u"], ["underlay-udp-blocked"]),
        (["kubectl-vxtrace", "pod", "x", "--color", ""], ["auto", "always", "never"]),
        (["kubectl-vxtrace", "pod", "x", "--color=a"], ["auto", "always"]),
        (["kubectl-vxtrace", "schema", ""], []),
    ],
)
def test_bash_completes(place: Path, typed: list[str], wanted: list[str]) -> None:
    script = f"""
    source <(kubectl-vxtrace completion bash)
    COMP_WORDS=({" ".join(f"'{word}'" for word in typed)}); COMP_CWORD={len(typed) - 1}
    _kubectl_vxtrace
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (wanted, "")


def test_a_shell_that_is_not_known() -> None:
    done = call("completion", "csh")
    assert (done.returncode, done.stdout) == (2, "")
    assert {shell.value for shell in CompletionShell} == {"bash", "zsh", "fish", "install"}
