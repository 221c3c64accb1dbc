"""What the machine breaks is counted apart, and alone run again."""

import pytest

pytest_plugins = ("pytester",)

HEAD = "from pathlib import Path\nimport pytest\nfrom tests.environment import TooBusyError\n"
BUSY = "def test_busy():\n    if not Path('again').exists():\n        raise TooBusyError('later')\n"
WRONG = "def test_wrong():\n    assert 1 == 2\n"
FINE = "def test_fine():\n    assert 1 == 1\n"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "tests.environment", *arguments)


def test_a_run_that_only_the_machine_broke_says_so_and_only_that_is_run_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + BUSY + FINE)
    first = run(pytester)
    assert first.ret == 75
    first.stdout.fnmatch_lines(["broken by the machine, not by the code: 1", "*test_busy"])
    (pytester.path / "again").touch()
    again = run(pytester, "--broken-by-machine")
    assert again.ret == 0
    again.assert_outcomes(passed=1, deselected=1)
    again.stdout.fnmatch_lines(["broken by the machine, not by the code: 0"])


def test_a_wrong_verdict_is_a_failure_whatever_else_the_machine_broke(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + BUSY + WRONG)
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["broken by the machine, not by the code: 1"])


def test_a_fixture_that_the_machine_breaks_counts_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + "@pytest.fixture\ndef lab():\n    raise TooBusyError('later')\ndef test_lab(lab):\n    assert lab\n")
    assert run(pytester).ret == 75


def test_a_full_disk_is_the_machine_s(pytester: pytest.Pytester) -> None:
    """As pytest itself meets it where a test wants a folder: its error comes of the kernel's."""
    fixture = (
        "@pytest.fixture\ndef folder():\n"
        "    try:\n        raise OSError(28, 'No space left on device', '/tmp')\n"
        "    except OSError as error:\n        raise OSError('no folder') from error\n"
    )
    pytester.makepyfile(f"{HEAD}{fixture}def test_folder(folder):\n    assert folder\n")
    assert run(pytester).ret == 75


def test_another_error_of_the_kernel_is_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_missing():\n    open('nowhere/at-all')\n")
    assert run(pytester).ret == 1
