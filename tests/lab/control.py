"""Faults of the API and further users, read from files in the state directory whenever they change.

`control.json` is one object, every key optional (`Faults` has the meaning of each). `users.json` is a list of
`{"name": "bob", "token": "t", "groups": [], "allowed": [["get", "pods"], ["create", "pods/exec"]], "expired": false}`:
a rule is [verb, resource] or [verb, resource, namespace], `*` matches any verb or resource; a rule without a namespace
holds everywhere. Write either with a rename (`records.write_json`), so that the server never reads half of it.
"""

import json
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

CONTROL_FILE = "control.json"
USERS_FILE = "users.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with the API and the kubelets.

    Attributes:
        slow_ms: each request waits this long first.
        unavailable: each request is answered 503.
        image_pull_fails: no image can be pulled.
        images: further images that can be pulled.
        node_not_ready: nodes without a kubelet: Ready is Unknown, nothing starts there, nothing deleted there goes (except with
            grace period 0), exec fails.
        refuse_exec: nodes whose kubelet refuses connections for exec.
        hang_exec: nodes where an exec is accepted and then nothing comes.
        exec_cut_after_bytes: the connection of an exec ends, without status, once this many bytes of output have been sent.
        exec_cut_times: how many connections are cut; None for all. Counted anew when control.json changes.
        expire_watch: a watch is answered with 410 Gone.
    """

    slow_ms: int = 0
    unavailable: bool = False
    image_pull_fails: bool = False
    images: list[str] = field(default_factory=list)
    node_not_ready: list[str] = field(default_factory=list)
    refuse_exec: list[str] = field(default_factory=list)
    hang_exec: list[str] = field(default_factory=list)
    exec_cut_after_bytes: int | None = None
    exec_cut_times: int | None = None
    expire_watch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of users.json."""

    name: str
    token: str
    groups: list[str] = field(default_factory=list)
    allowed: list[list[str]] = field(default_factory=list)
    expired: bool = False

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Whether a rule allows it; `resource` is `pods` or `pods/exec`."""
        for rule in self.allowed:
            place = rule[2] if len(rule) > 2 else None
            if rule[0] in (verb, "*") and rule[1] in (resource, "*") and place in (None, namespace):
                return True
        return False


class JsonFile:
    """A file that is read again when it has changed. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._value: Any = None
        self.reads = 0

    def value(self) -> Any:
        """Its JSON value, None if there is no file. Raises ValueError if it is no JSON."""
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_ino)
                if seen != self._seen:
                    self._value, self._seen = json.loads(self._path.read_text()), seen
                    self.reads += 1
            except FileNotFoundError:
                if self._seen is not None:
                    self._value, self._seen = None, None
                    self.reads += 1
            return self._value


class Control:
    """The two files of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._faults = JsonFile(state_dir / CONTROL_FILE)
        self._users = JsonFile(state_dir / USERS_FILE)
        self._lock = threading.Lock()
        self._cuts = (0, 0)  # of which reading of control.json, how many

    def faults(self) -> Faults:
        """The faults that are on. Raises ValueError, TypeError if the file says something else."""
        value = self._faults.value() or {}
        unknown = set(value) - {entry.name for entry in fields(Faults)}
        if unknown:
            raise ValueError(f"{CONTROL_FILE}: unknown keys {sorted(unknown)}")
        return Faults(**value)

    def users(self) -> list[User]:
        """The further users. Raises ValueError, TypeError if the file says something else."""
        return [User(**entry) for entry in self._users.value() or []]

    def cut_after_bytes(self) -> int | None:
        """After how many bytes this exec is to be cut, None for not at all; counts it as cut."""
        faults = self.faults()
        with self._lock:
            reading, cuts = self._cuts
            cuts = cuts if reading == self._faults.reads else 0
            if faults.exec_cut_after_bytes is None or (faults.exec_cut_times is not None and cuts >= faults.exec_cut_times):
                return None
            self._cuts = (self._faults.reads, cuts + 1)
            return faults.exec_cut_after_bytes
