"""How much memory a process holds, or held at most.

Not by getrusage(2): its ru_maxrss begins with the peak of the process that started this one (kernel/fork.c, fs/exec.c: exec_mmap).
"""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """What this process holds now (proc(5), VmRSS)."""
    return _line("VmRSS")


def peak_bytes() -> int:
    """The most that it ever held, or since `forget_peak` (proc(5), VmHWM)."""
    return _line("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew (Documentation/filesystems/proc.rst, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _line(name: str) -> int:
    kib = next(line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(kib) * 1024
