"""Runs a command and says what it cost: wall time, processor time, peak memory, bytes read from the disk."""
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
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


# As user argv[2] (-1: as who calls), runs argv[3:] and writes what it cost to the file argv[1]. A process of its own and small: a child's ru_maxrss starts at the size of
# whoever started it, and this one's 10 MiB are below every program measured.
_STARTER = """
import json, os, resource, sys, time  # resource: wait4 needs it, and after setuid it may be out of reach
out, uid = open(sys.argv[1], "w"), int(sys.argv[2])
if uid >= 0:
    os.setgroups([]), os.setgid(uid), os.setuid(uid)
start = time.monotonic()
process = os.posix_spawnp(sys.argv[3], sys.argv[3:], os.environ)
_, status, usage = os.wait4(process, 0)
json.dump([time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, usage.ru_inblock, os.waitstatus_to_exitcode(status)], out)
out.close()
"""


def once(command, env=None, cwd="/", uid=None):
    """One run. The peak is the process's own: what its children took is not in it, and none of the peers starts any."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.NamedTemporaryFile("r") as cost:
        subprocess.run([sys.executable, "-I", "-S", "-c", _STARTER, cost.name, str(-1 if uid is None else uid), *command], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                       stdout=out, stderr=err, check=True)
        seconds, cpu, peak, blocks, code = json.load(cost)
        out.seek(0)
        err.seek(0)
        if code not in (0, 3) and not (code == 1 and "rmlint" in command[0]):
            raise RuntimeError(f"{command}: exit {code}: {err.read()[-1500:].decode(errors='replace')}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Cost(seconds, cpu, peak * unit / 2**20, blocks * 512 / 2**20, code, out.read())


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
