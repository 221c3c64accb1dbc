"""Processes of the lab: started in a namespace with a session of their own, known by pid and start time, ended by exactly those."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from .records import STATE_VARIABLE, write_json
from .tools import NETNS_DIR, LabError, inside

PIDS = "pids"
LOGS = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process: `start_ticks` since boot (proc(5), /proc/PID/stat field 22) tells it from a later one with the same pid."""

    name: str
    pid: int
    start_ticks: int


def start(state_dir: str, name: str, netns: str, argv: Sequence[str]) -> Running:
    """Start a process in a namespace; output goes to a log file, nothing of the caller's stays open in it.

    The state directory stands in its environment, so that it can be found again without its pid file.
    """
    log = Path(state_dir) / LOGS / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                inside(netns, argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", STATE_VARIABLE: state_dir},
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(f"{name}: cannot start {argv[0]}: {error.strerror}") from error
    ticks = start_ticks(process.pid)
    running = Running(name=name, pid=process.pid, start_ticks=-1 if ticks is None else ticks)
    write_json(_pid_file(state_dir, name), {"pid": running.pid, "start_ticks": running.start_ticks})
    return running


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none, or only its remains (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before ")" may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def alive(running: Running) -> bool:
    """Whether exactly this process runs."""
    return start_ticks(running.pid) == running.start_ticks


def recorded(state_dir: str) -> tuple[Running, ...]:
    """Every process with a pid file, alive or not; a damaged file is passed over (`strays` finds its process)."""
    found = []
    for path in sorted((Path(state_dir) / PIDS).glob("*.json")):
        try:
            data = json.loads(path.read_text())
            found.append(Running(name=path.stem, pid=int(data["pid"]), start_ticks=int(data["start_ticks"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(found)


def strays(state_dir: str, namespaces: Collection[str]) -> tuple[Running, ...]:
    """Processes that `start` made in these namespaces and whose pid file is lost.

    They lead a session and have the state directory in their environment.
    """
    places = {inode for name in namespaces if (inode := _inode(NETNS_DIR / name)) is not None}
    wanted = f"{STATE_VARIABLE}={state_dir}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or _inode(entry / "ns/net") not in places:
            continue
        pid = int(entry.name)
        try:
            ours = wanted in (entry / "environ").read_bytes().split(b"\0") and os.getsid(pid) == pid
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ticks = start_ticks(pid)
        if ours and ticks is not None:
            found.append(Running(name=f"stray-{pid}", pid=pid, start_ticks=ticks))
    return tuple(found)


def with_arguments(tail: Sequence[str]) -> tuple[Running, ...]:
    """Processes that lead a session and whose arguments end with exactly these (proc(5), /proc/PID/cmdline).

    Only those that see the same files: in another mount namespace a path that stands in the arguments is another one.
    """
    wanted = [word.encode() for word in tail]
    mounts = _inode(Path("/proc/self/ns/mnt"))
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
            ours = words[-len(wanted) :] == wanted and os.getsid(pid) == pid and _inode(entry / "ns/mnt") == mounts
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ticks = start_ticks(pid)
        if ours and ticks is not None:
            found.append(Running(name=f"stray-{pid}", pid=pid, start_ticks=ticks))
    return tuple(found)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def stop(state_dir: str, processes: Sequence[Running], *, patience_s: float = 3.0) -> None:
    """End processes with their sessions: TERM, then KILL; forget their pid files.

    Raises:
        LabError: one is still there.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        waiting = [process for process in processes if alive(process)]
        for process in waiting:
            _signal(process, number)
        _wait_gone(waiting, patience_s)
    left = [process for process in processes if alive(process)]
    for process in processes:
        if process not in left:
            _pid_file(state_dir, process.name).unlink(missing_ok=True)
    if left:
        raise LabError("still running after SIGKILL: " + ", ".join(f"{process.name} (pid {process.pid})" for process in left))


def _signal(process: Running, number: signal.Signals) -> None:
    """To the whole process group, which `start` made: its leader was just seen alive, so the group's number is not anybody else's."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # ended in between


def _wait_gone(processes: Sequence[Running], patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while any(alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(0.01)


def _pid_file(state_dir: str, name: str) -> Path:
    return Path(state_dir) / PIDS / f"{name}.json"


def listening(running: Running, protocol: str, port: int) -> bool:
    """Whether a socket in the process's namespace is bound ("udp") or listens ("tcp") on a port (proc(5), /proc/PID/net/udp and tcp)."""
    state = "07" if protocol == "udp" else "0A"
    lines: list[str] = []
    for name in (protocol, f"{protocol}6"):
        try:
            lines += Path(f"/proc/{running.pid}/net/{name}").read_text().splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == state for line in lines)
