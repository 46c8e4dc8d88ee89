"""Runs a command and says what it cost: wall time, processor time, peak memory, bytes read from the disk."""
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from volumes import drop_caches  # noqa: E402,F401


@dataclass
class Cost:
    seconds: float
    cpu_seconds: float
    peak_mib: float
    disk_mib: float
    code: int
    stdout: bytes


def once(command, env=None, cwd="/", uid=None):
    """One run. The peak is the process's own (ru_maxrss); what its children took is not in it, and none of the peers starts any."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    identity = {"user": uid, "group": uid, "extra_groups": []} if uid is not None else {}
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **identity)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0)
    err.seek(0)
    unit = 1 if sys.platform == "darwin" else 1024
    cost = Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20, usage.ru_inblock * 512 / 2**20, process.returncode, out.read())
    if process.returncode not in (0, 3) and not (process.returncode == 1 and "rmlint" in str(command[0])):
        raise RuntimeError(f"{command}: exit {process.returncode}: {err.read()[-1500:].decode(errors='replace')}")
    return cost


def median(costs, field="seconds"):
    return statistics.median(getattr(cost, field) for cost in costs)


def spread(costs):
    """"1.23 (1.20-1.31)": the median of the runs and their range."""
    values = [cost.seconds for cost in costs]
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def version_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def machine():
    cpu = "unknown"
    memory = 0
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            cpu = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), cpu)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return (f"{cpu}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB memory, {platform.system()} {platform.release().split('-')[0]}; "
            f"load average before the run {load:.1f}" + (" (others were at work: take the figures with that in mind)" if load > 0.7 else ""))


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" if i == 0 else "---:" for i in range(len(head))) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])
