"""A running `mlxcache watch`, and what it tells."""
import json
import queue
import signal
import threading
import time

PATIENCE = 120  # seconds until something that must happen is given up: a loaded machine is slow
OPTIONS = ("watch", "--quiet-for", "1s", "--min-size", "4k", "--json")


class Watcher:
    """A running `mlxcache watch` and what it has told so far."""

    def __init__(self, tool, *more):
        self.process = tool.start(*OPTIONS, *more)
        self.events = []
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, what, **fields):
        """The next event of that name with these fields; what it must have told already counts."""
        fits = lambda e: e["event"] == what and all(e.get(k) == v for k, v in fields.items())
        for event in self.events:
            if fits(event):
                return event
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                line = self._lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                break
            if line is None:
                raise AssertionError(f"it ended before '{what}' {fields}: {self.events[-20:]}\n{self.process.stderr.read()}")
            self.events.append(json.loads(line))
            if fits(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"no '{what}' {fields} within {PATIENCE} s: {self.events[-20:]}")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if line.strip():
                self.events.append(json.loads(line))
        self.process.stdout.close()
        error = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.returncode, error
