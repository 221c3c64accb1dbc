"""The manual page is what it should be, and groff has nothing to say against it."""

import re
import shutil
import subprocess

import pytest

from tests.manpage import PAGE, page


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.manpage writes it anew"


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_groff_takes_it_without_a_warning() -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=100n", PAGE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for said in ("kubectl vxtrace pod", "--duration DURATION", "How long to capture", "--as-uid UID", "130"):
        assert said in re.sub(".\b", "", done.stdout)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="there is no mandoc")
def test_mandoc_takes_it_without_a_warning() -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "missing date" not in line]  # made anew, it is to be the same
    assert said == []
