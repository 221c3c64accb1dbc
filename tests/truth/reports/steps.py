"""Carrying out the lines of a row: bash in a place of the lab, and the few steps that are not bash."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.datapath import node_rules, records, servers, tools
from tests.datapath.records import Lab
from tests.truth import words

LONGEST_S = 30


def place_and_text(lab: Lab, line: str) -> tuple[str, str]:
    """The place that a line is about, and the rest with its words filled in."""
    place, _, text = line.partition(": ")
    return place, words.filled(lab, text)


def bash(lab: Lab, place: str, command: str, *, check: bool = True) -> str:
    """Run bash in a place of the lab; what it printed, errors too.

    Raises:
        LabError: it failed (with `check`), or took longer than 30 s.
    """
    argv = ["timeout", str(LONGEST_S), "bash", "-c", command]
    done = tools.run_inside(words.namespace(lab, place), argv, check=False)
    if check and done.returncode != 0:
        raise tools.LabError(f"{place}: {command}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout + done.stderr


def inject(lab: Lab, lines: Sequence[str]) -> None:
    """Do them in order.

    Raises:
        LabError: one failed; the text has it.
    """
    for line in lines:
        _step(lab, line, check=True)


def heal(lab: Lab, lines: Sequence[str]) -> None:
    """Do them in order, each whatever became of the others, and let the API say again what it said at first."""
    for line in lines:
        _step(lab, line, check=False)
    records.save(lab)


def _step(lab: Lab, line: str, *, check: bool) -> None:
    place, text = place_and_text(lab, line)
    if place == "rules":
        node_rules.load(lab, lab.node(text))
    elif place == "record":
        _record(lab, text)
    elif text.startswith("run "):
        name, *arguments = shlex.split(text.removeprefix("run "))
        tools.run_inside(words.namespace(lab, place), servers.program(name, *arguments), check=check)
    else:
        bash(lab, place, text, check=check)


def _record(lab: Lab, text: str) -> None:
    """`NAME.ATTRIBUTE=VALUE`: change the file that the API reads; the network stays as it is."""
    name, _, setting = text.partition(".")
    attribute, _, value = setting.partition("=")
    path = Path(lab.state_dir) / records.RECORD_FILE
    data = json.loads(path.read_text())
    pod = words.pods(lab).get(name)
    entries = [entry for kind in ("nodes", "pods", "services") for entry in data[kind]]
    for entry in [data] if name == "lab" else [entry for entry in entries if entry["name"] == (pod.name if pod is not None else name)]:
        before = entry[attribute]
        entry[attribute] = value == "true" if isinstance(before, bool) else int(value) if value.isdigit() else value
    records.write_json(path, data)
