"""Runs the mlxcache binary as a person would: a home, an environment, perhaps another user; answers as JSON."""
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Answer:
    code: int
    json: dict
    stdout: str
    stderr: str


class Mlxcache:
    def __init__(self, binary, home, env=None, uid=None, gid=None):
        """`home` becomes HOME; our own state goes beside it, so that the home's tree can be compared whole. With `uid`, runs as
        that user (needs root)."""
        self.binary = str(binary)
        self.home = str(home)
        self.uid, self.gid = uid, gid if gid is not None else uid
        # Nothing of the caller's environment may point at the caller's own stores.
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.home, "LANG": "C.UTF-8",
                    "MLXCACHE_HOME": self.home + ".mlxcache-state"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.env.update(env or {})
        os.makedirs(self.env["MLXCACHE_HOME"], mode=0o700, exist_ok=True)
        if uid is not None:
            os.chown(self.env["MLXCACHE_HOME"], self.uid, self.gid)

    def _identity(self):
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def start(self, *args):
        """Starts it and returns the process, for those who want to kill it."""
        return subprocess.Popen([self.binary, *map(str, args)], env=self.env, cwd="/", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **self._identity())

    def run(self, *args, expect=0, timeout=600):
        """Runs `mlxcache --json ARGS`. `expect`: an exit code, a set of them, or None for any."""
        process = self.start(*args, "--json")
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"mlxcache {' '.join(map(str, args))} did not end within {timeout} s")
        try:
            value = json.loads(out) if out.strip() else {}
        except json.JSONDecodeError as error:
            raise AssertionError(f"mlxcache {args}: not JSON ({error}):\n{out[:2000]}\n{err[:2000]}")
        answer = Answer(process.returncode, value, out, err)
        allowed = expect if isinstance(expect, (set, frozenset, tuple)) else {expect}
        if expect is not None and answer.code not in allowed:
            raise AssertionError(f"mlxcache {' '.join(map(str, args))}: exit {answer.code}, not {sorted(allowed)}\n{out[:3000]}\n{err[:3000]}")
        return answer

    def kill_after(self, seconds, *args):
        """Starts a command and kills it (SIGKILL) after `seconds`. True if it was still running then."""
        process = self.start(*args, "--json")
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            time.sleep(min(0.0005, max(0.0, end - time.monotonic())))
        alive = process.poll() is None
        if alive:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        return alive
