"""What a watcher costs while nothing happens: `python3 bench/watch_idle.py BINARY [SECONDS [MODELS]]`. Builds a home of small stores in a temporary
folder, waits until the first look is over, and reads processor time, wake-ups and memory of the process from /proc at both ends of the time."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))
import homes  # noqa: E402
import stores  # noqa: E402


def cpu_ns(pid):
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def status(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
    models = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    with tempfile.TemporaryDirectory(prefix="mlxcache-idle-") as top:
        home = Path(top) / "home"
        for i in range(models):
            data = bytes([i % 251]) * (40_000 + 8 * i)
            homes.hub_repo(home / ".cache/huggingface/hub", f"org/model-{i}", {"model.gguf": data, "config.json": b'{"n":%d}' % i})
            stores.lm_studio(home, "org", f"model-{i}", {"model.gguf": data})
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "MLXCACHE_HOME": str(Path(top) / "state")}
        process = subprocess.Popen([binary, "watch", "--json", "--since", "0s", "--quiet-for", "0s"], env=env, stdout=subprocess.PIPE, text=True)
        try:
            started = {"event": ""}
            while started["event"] != "started":  # "polling" may come before it
                started = json.loads(process.stdout.readline())
            state = Path(top) / "state/watch.json"
            while not (state.exists() and json.loads(state.read_text())["looks"] > 0):
                time.sleep(0.1)
            time.sleep(2)
            pid = process.pid
            # What was done until now does not count: from here nothing happens.
            before = cpu_ns(pid), status(pid, "voluntary_ctxt_switches"), time.monotonic()
            time.sleep(seconds)
            after = cpu_ns(pid), status(pid, "voluntary_ctxt_switches"), time.monotonic()
            taken = after[2] - before[2]
            print(f"{started['folders']} folders of {started['stores']} stores ({models} models in each), watched by {started['way']}")
            print(f"idle for {taken:.1f} s: {(after[0] - before[0]) / 1e6:.3f} ms of processor time = {(after[0] - before[0]) / 1e7 / taken:.5f} %, "
                  f"{after[1] - before[1]} wake-ups")
            print(f"memory: {status(pid, 'VmRSS') / 1024:.1f} MiB resident ({status(pid, 'RssAnon') / 1024:.1f} MiB its own), {status(pid, 'VmHWM') / 1024:.1f} MiB at most")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
