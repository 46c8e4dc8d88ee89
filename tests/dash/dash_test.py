"""The monitor's binary: text, JSON, Prometheus, and the live face in real terminals."""
import fcntl
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import unicodedata

BINARY = os.environ["MLXDASH_BINARY"]
STRICT = os.environ.get("CI") == "true"


class Ollama(http.server.BaseHTTPRequestHandler):
    """Answers as Ollama does with one model loaded; keeps what it was asked."""
    asked = []
    ANSWERS = {"/api/version": {"version": "0.6.6"}, "/api/tags": {"models": [{"name": "llama3.2:3b"}]},
               "/api/ps": {"models": [{"name": "llama3.2:3b", "size": 4_000_000_000, "size_vram": 0, "details": {"format": "gguf", "quantization_level": "Q4_K_M"},
                                       "expires_at": "2318-01-01T00:00:00Z", "context_length": 8192}]}}

    def do_GET(self):
        self.asked.append(self.path)
        found = self.ANSWERS.get(self.path)
        body = json.dumps(found or {}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:  # a monitor that was killed
            pass

    def log_message(self, *_):
        pass


class Dash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.url = f"http://127.0.0.1:{cls.server.server_port}"
        cls.home = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()
        cls.home.cleanup()

    def env(self, **more):
        return {"HOME": self.home.name, "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **more}

    def words(self, *more):
        return [BINARY, "--no-find", "--engine", self.url, *more]

    def run_it(self, *more, **env):
        done = subprocess.run(self.words(*more), env=self.env(**env), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr


class Scripts(Dash):
    def test_json_has_values_and_says_why_others_are_missing(self):
        code, out, err = self.run_it("--json")
        self.assertEqual((code, err), (0, ""))
        seen = json.loads(out)
        self.assertEqual(seen["schema"], "mlxdash.snapshot/1")
        self.assertGreater(seen["memory"]["total"], 0)
        self.assertTrue(0 <= seen["cpu"]["busy"] <= 1)
        engine = seen["engines"][0]
        self.assertEqual((engine["kind"], engine["state"], engine["models"][0]["name"]), ("ollama", "up", "llama3.2:3b"))
        self.assertEqual(engine["models"][0]["expires_in"], "never")
        self.assertIsNone(engine["decode"])
        self.assertEqual(seen["absent"]["engines[0].decode"], "not_supported")

    def test_every_null_has_a_reason_and_every_reason_a_null(self):
        seen = json.loads(self.run_it("--json")[1])
        absent = seen.pop("absent")
        nulls = set()

        def walk(value, path):
            if value is None:
                nulls.add(path)
            for key, inner in value.items() if isinstance(value, dict) else []:
                walk(inner, f"{path}.{key}" if path else key)
            for i, inner in enumerate(value) if isinstance(value, list) else []:
                walk(inner, f"{path}[{i}]")

        walk(seen, "")
        self.assertEqual(nulls, set(absent))

    def test_once_is_plain_text_and_so_is_a_pipe(self):
        for words in (["--once"], []):
            code, out, err = self.run_it(*words)
            self.assertEqual((code, err), (0, ""))
            self.assertNotIn("\x1b", out)
            self.assertIn("llama3.2:3b", out)
        self.assertTrue(all(ord(c) < 127 for c in self.run_it("--once", "--ascii")[1]))

    def test_prometheus_text_is_well_formed(self):
        code, out, _ = self.run_it("export", "--prometheus")
        self.assertEqual(code, 0)
        known = set()
        for line in out.splitlines():
            if line.startswith("# TYPE "):
                self.assertNotIn(line.split()[2], known, "TYPE comes once")
                known.add(line.split()[2])
            elif not line.startswith("#"):
                self.assertRegex(line, r'^mlxdash_[a-z0-9_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? [-+0-9.eInf]+$')
                self.assertIn(re.split(r"[ {]", line)[0], known)
        self.assertIn(f'mlxdash_engine_up{{engine="ollama",url="{self.url}"}} 1', out)
        self.assertNotIn("decode_tokens", out, "what is missing is left out")

    def test_only_calls_that_cause_nothing(self):
        Ollama.asked.clear()
        self.run_it("--json")
        self.assertLessEqual(set(Ollama.asked), {"/api/version", "/api/ps", "/api/tags"})

    def test_a_wrong_word_is_named(self):
        for words, named in ((["--nonsense"], "--nonsense"), (["watch"], "watch"), (["--interval", "0"], "--interval"), (["export"], "--prometheus"), (["export", "--csv", "--since", "soon"], "--since"), (["--once=1"], "--once")):
            code, out, err = self.run_it(*words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(named, err)

    def test_packaging_holds_the_manual_page_that_the_program_makes(self):
        code, out, _ = self.run_it("man")
        self.assertEqual(code, 0)
        path = os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "mlxdash", "mlxdash.1")
        if os.environ.get("MLXDASH_UPDATE_GOLDEN"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(out)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), out, "make it anew with MLXDASH_UPDATE_GOLDEN=1")


class Live(Dash):
    """On a pseudo-terminal of its own."""

    def start(self, *more, columns=80, rows=24, **env):
        pid, master = pty.fork()
        if pid == 0:
            os.execve(BINARY, self.words(*more), self.env(**env))
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.addCleanup(self.end, pid, master)
        return pid, master

    def end(self, pid, master):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(master)

    def read_until(self, master, what, seconds=20):
        seen, end = b"", time.monotonic() + seconds
        while what not in seen:
            left = end - time.monotonic()
            self.assertGreater(left, 0, f"{what!r} did not come: {seen[-500:]!r}")
            if select.select([master], [], [], left)[0]:
                try:
                    chunk = os.read(master, 65536)
                except OSError:
                    chunk = b""
                if not chunk:
                    break
                seen += chunk
        self.assertIn(what, seen)
        return seen

    LEAVE = b"\x1b[?25h\x1b[?1049l"

    def test_q_gives_the_terminal_back(self):
        pid, master = self.start()
        before = termios.tcgetattr(master)
        seen = self.read_until(master, b"llama3.2:3b")
        self.assertIn(b"\x1b[?1049h", seen)
        os.write(master, b"q")
        seen += self.read_until(master, self.LEAVE)  # a read may end within a picture; all of them are compared
        marks = re.findall(rb"\x1b\[\?2026([hl])", seen)
        self.assertEqual(marks, [b"h", b"l"] * (len(marks) // 2) + [b"l"], "pictures are whole, and leaving ends one in any case")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        self.assertEqual(termios.tcgetattr(master)[3] & termios.ECHO, before[3] & termios.ECHO or termios.ECHO)

    def test_what_was_seen_is_kept_and_exported(self):
        with tempfile.TemporaryDirectory() as state:
            pid, master = self.start("--interval", "0.5", MLXDASH_HOME=state)
            self.read_until(master, b"llama3.2:3b")
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                if select.select([master], [], [], 0.1)[0]:
                    os.read(master, 65536)
            os.write(master, b"q")
            self.read_until(master, self.LEAVE)
            os.waitpid(pid, 0)
            code, out, err = self.run_it("export", "--csv", MLXDASH_HOME=state)
            self.assertEqual((code, err), (0, ""))
            lines = out.splitlines()
            self.assertEqual(lines[0], "time,series,mean,low,high")
            self.assertTrue(any('"mlxdash_memory_used_bytes"' in line for line in lines[1:]), out[:500])
            kept = json.loads(self.run_it("export", "--json", "--since", "10m", MLXDASH_HOME=state)[1])
            self.assertEqual(kept["schema"], "mlxdash.history/1")
            up = next(s for s in kept["series"] if s["key"].startswith("mlxdash_engine_up"))
            self.assertEqual(up["points"][-1][1:], [1.0, 1.0, 1.0])
            self.assertNotIn("decode_tokens", json.dumps(kept), "what is missing has no history")

    def test_a_crash_gives_the_terminal_back_too(self):
        for number in (signal.SIGSEGV, signal.SIGABRT):
            pid, master = self.start()
            self.read_until(master, b"mlxdash")
            os.kill(pid, number)
            self.read_until(master, self.LEAVE)
            status = os.waitpid(pid, 0)[1]
            self.assertLess(os.waitstatus_to_exitcode(status), 1 if "asan" in BINARY else 0)

    def test_terminate_and_hang_up_too(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            pid, master = self.start()
            self.read_until(master, b"mlxdash")
            os.kill(pid, number)
            self.read_until(master, self.LEAVE)
            os.waitpid(pid, 0)

    def test_stopped_it_gives_the_terminal_back_asks_nothing_and_goes_on(self):
        pid, master = self.start()
        self.read_until(master, b"llama3.2:3b")
        os.kill(pid, signal.SIGTSTP)
        self.read_until(master, self.LEAVE)
        os.waitpid(pid, os.WUNTRACED)
        Ollama.asked.clear()
        time.sleep(0.3)
        self.assertEqual(Ollama.asked, [])
        os.kill(pid, signal.SIGCONT)
        self.read_until(master, b"\x1b[?1049h")
        self.read_until(master, b"mlxdash")

    def test_colours_are_those_the_terminal_has(self):
        for env, there, not_there in (({"COLORTERM": "truecolor"}, rb"38;2;", None), ({}, rb"38;5;", rb"38;2;"), ({"TERM": "xterm"}, rb"\x1b\[0;36m", rb"38;"),
                                      ({"NO_COLOR": "1"}, rb"\x1b\[0m", rb"\x1b\[0;(1;)?3"), ({"TERM": "dumb"}, rb"\x1b\[0m", rb"\x1b\[0;(1;)?3")):
            pid, master = self.start(**env)
            seen = self.read_until(master, b"llama3.2:3b")
            self.assertRegex(seen, there, env)
            if not_there:
                self.assertNotRegex(seen, not_there, env)
            os.write(master, b"q")
            os.waitpid(pid, 0)

    def test_what_did_not_change_is_not_written_again(self):
        pid, master = self.start()
        self.read_until(master, b"llama3.2:3b")
        time.sleep(2.5)
        while select.select([master], [], [], 0)[0]:
            os.read(master, 65536)
        seen = self.read_until(master, b"\x1b[?2026l", 20)
        self.assertLess(len(seen), 2500, "a picture of 80 by 24 has some 5000 bytes")
        os.write(master, b"q")


class Sizes(Dash):
    """In tmux, as a person sees it."""

    def setUp(self):
        if shutil.which("tmux") is None:
            if STRICT and sys.platform == "linux":
                self.fail("tmux is not installed, and CI must have it")
            self.skipTest("tmux is not installed")
        self.socket = os.path.join(self.home.name, "tmux" + self.id())
        self.addCleanup(self.tmux, "kill-server", check=False)

    def tmux(self, *words, check=True):
        return subprocess.run(["tmux", "-S", self.socket, "-u", *words], env=self.env(), capture_output=True, text=True, check=check, timeout=30).stdout

    def capture(self, wanted, seconds=25):
        end = time.monotonic() + seconds
        while True:
            rows = self.tmux("capture-pane", "-p").split("\n")
            if any(wanted in row for row in rows) or time.monotonic() > end:
                self.assertTrue(any(wanted in row for row in rows), f"{wanted!r} is not in\n" + "\n".join(rows))
                return rows
            time.sleep(0.1)

    @staticmethod
    def cells(row):
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in row)

    def frames_close(self, rows):
        """Every corner at the top left has its other three."""
        count = 0
        for y, row in enumerate(rows):
            for x, c in enumerate(row):
                if c != "╭":
                    continue
                right = row.index("╮", x)
                bottom = next(b for b in range(y + 1, len(rows)) if rows[b][x:x + 1] == "╰")
                self.assertEqual(rows[bottom][right], "╯")
                for between in range(y + 1, bottom):
                    self.assertEqual((rows[between][x], rows[between][right]), ("│", "│"), rows[between])
                count += 1
        return count

    def test_five_sizes(self):
        for columns, lines, least in ((40, 10, 1), (60, 20, 3), (80, 24, 4), (120, 40, 7), (200, 60, 8)):
            with self.subTest(f"{columns}x{lines}"):
                self.socket = os.path.join(self.home.name, f"tmux{columns}")  # a server of its own: one that is just ending takes no session
                self.addCleanup(subprocess.run, ["tmux", "-S", self.socket, "kill-server"], capture_output=True)
                self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), *self.words())
                rows = self.capture("llama3.2:3b" if lines > 10 else "ollama")
                self.assertTrue(rows[0].startswith("mlxdash"))
                self.assertIn("q quit", rows[lines - 1])
                self.assertLessEqual(max(map(self.cells, rows)), columns)
                self.assertGreaterEqual(self.frames_close(rows), least, "\n".join(rows))

    def test_pages_by_key_and_by_mouse_and_help(self):
        self.tmux("new-session", "-d", "-x", "100", "-y", "30", *self.words())
        self.capture("llama3.2:3b")
        self.tmux("send-keys", "Tab")
        self.capture("Processes with model files")
        self.tmux("send-keys", "5")
        self.capture("Where the values come from")
        self.tmux("send-keys", "?")
        self.capture("Prompts are never read")
        self.tmux("send-keys", "Escape")
        rows = self.capture("1 Overview")
        column = rows[0].index("Machine") + 1
        self.tmux("send-keys", "-l", f"\x1b[<0;{column};1M")
        self.capture("Processor")

    def test_another_size_is_filled(self):
        self.tmux("new-session", "-d", "-x", "120", "-y", "40", *self.words())
        self.capture("llama3.2:3b")
        for columns, lines in ((60, 20), (150, 45)):
            self.tmux("resize-window", "-x", str(columns), "-y", str(lines))
            end = time.monotonic() + 20
            while time.monotonic() < end:
                rows = self.tmux("capture-pane", "-p").split("\n")
                if len(rows) >= lines and "q quit" in rows[lines - 1]:
                    break
                time.sleep(0.1)
            self.assertIn("q quit", rows[lines - 1])
            self.assertGreater(self.frames_close(rows), 2)


if __name__ == "__main__":
    unittest.main()
