"""What the kernel counts of a process. Linux only."""

import os
import time
from pathlib import Path

CPUCLOCK_SCHED = 2


def cpu_ns(pid: int) -> int:
    """User and system CPU time of a process and all its threads, ended ones too, in nanoseconds.

    ``/proc/…/stat`` counts in ticks of 10 ms, too coarse for a few hundred requests; this is the clock that
    clock_getcpuclockid(3) names. Raises ``OSError`` for a process that has ended.
    """
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)


def reaped_cpu_ns(pid: int) -> int:
    """CPU time of the children of a process that have ended, in nanoseconds, counted in ticks of 10 ms."""
    user, system = _stat(pid)[13:15]
    return (int(user) + int(system)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    return int(_stat(pid)[1])


def family_pss_mb(pid: int) -> float:
    """What a process and its children hold together (PSS), in megabytes of 10⁶ bytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(memory_mb(each)[1] for each in (pid, *map(int, children)))


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional set size (RSS, PSS), in megabytes of 10⁶ bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {name: int(rest.split()[0]) * 1024 / 1e6 for name, _, rest in (line.partition(":") for line in lines[1:])}
    return sizes["Rss"], sizes["Pss"]


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/…/stat`` from the third on: the second, the name, may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
