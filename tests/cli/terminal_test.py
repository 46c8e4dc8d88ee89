"""On a terminal: columns that fit, colours and how to have none, a bar, questions, Ctrl-C; and names that try to speak to it."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata
import unittest

from house import BINARY, House

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """The binary with a terminal of its own."""

    def __init__(self, words, env, columns=80, cwd="/"):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(BINARY, [BINARY, *words], env)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.seen = b""
        self.status = None

    def read(self, until=None, seconds=60):
        """Reads to the end, or until `until` was printed; False if it was not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until is not None and until in self.seen:
                return True
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    chunk = os.read(self.master, 65536)
                except OSError:  # Linux: the other side is closed
                    chunk = b""
                if not chunk:
                    break
                self.seen += chunk
        return until is not None and until in self.seen

    def send(self, data):
        os.write(self.master, data)

    def end(self):
        self.read()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status), self.seen.decode("utf-8", "replace").replace("\r\n", "\n")


def cells(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class OnATerminal(House):
    def on_terminal(self, *words, columns=80, env=None):
        return Terminal(words, env or self.env(), columns, self.home).end()

    def test_no_line_is_wider_than_the_terminal(self):
        for columns in (80, 140):
            for words in (["scan"], ["ls"], ["show", "llama:1b"], ["show", "org/Qwen-MLX"], ["dups"], ["du"], ["dedup", "--method", "hardlink"], ["verify"],
                          ["verify", "--verbose"], ["history"], ["doctor"], ["--help"], ["dedup", "--help"], ["verify", "--help"]):
                with self.subTest(f"{words} at {columns}"):
                    _, text = self.on_terminal(*words, columns=columns)
                    wide = [line for line in ESCAPE.sub("", text).split("\n") if cells(line.split("\r")[-1]) > columns]
                    self.assertEqual(wide, [])

    def test_colours_only_where_they_are_wanted(self):
        self.assertRegex(self.on_terminal("scan")[1], r"\x1b\[1m")
        for words, env in ((["scan", "--no-color"], None), (["scan"], self.env(NO_COLOR="1")), (["scan"], self.env(TERM="dumb"))):
            text = re.sub(r"\x1b\[K", "", self.on_terminal(*words, env=env)[1])  # taking a bar off is no colour
            self.assertNotIn("\x1b", text, words)
        self.assertNotIn("\x1b", "".join(self.run_it("scan")[1:]))

    def test_a_question_is_asked_and_no_changes_nothing(self):
        before = [os.stat(p).st_ino for p in self.payloads()]
        terminal = Terminal(["dedup", "--method", "hardlink", "--apply"], self.env(), cwd=self.home)
        self.assertTrue(terminal.read(b"[y/N]"), terminal.seen)
        terminal.send(b"what\n")
        self.assertTrue(terminal.read(b"Please answer y or n"))
        terminal.send(b"n\n")
        # The file whose metadata does not merge is asked for by itself.
        self.assertTrue(terminal.read(b"And the other"), terminal.seen)
        terminal.send(b"\n")
        code, text = terminal.end()
        self.assertEqual(code, 1, text)
        self.assertIn("Nothing was changed.", text)
        self.assertEqual([os.stat(p).st_ino for p in self.payloads()], before)

    def test_yes_does_it_and_undo_takes_it_back(self):
        terminal = Terminal(["dedup", "--method", "hardlink", "--apply"], self.env(), cwd=self.home)
        self.assertTrue(terminal.read(b"[y/N]"), terminal.seen)
        terminal.send(b"y\n")
        code, text = terminal.end()
        self.assertEqual(code, 0, text)
        self.assertIn("mlxcache undo", text)
        code, text = self.on_terminal("undo")
        self.assertEqual(code, 0, text)

    def test_ctrl_c_at_a_question_changes_nothing(self):
        terminal = Terminal(["dedup", "--method", "hardlink", "--apply"], self.env(), cwd=self.home)
        self.assertTrue(terminal.read(b"[y/N]"), terminal.seen)
        terminal.send(b"\x03")
        code, text = terminal.end()
        self.assertEqual(code, 130, text)
        self.assertIn("nothing was changed", text)

    def test_an_empty_home_offers_the_demo(self):
        empty = self.top / "nothing"
        empty.mkdir(exist_ok=True)
        terminal = Terminal(["scan"], self.env(home=empty, TMPDIR=str(self.top)), cwd=empty)
        self.assertTrue(terminal.read(b"[y/N]"), terminal.seen)
        terminal.send(b"y\n")
        code, text = terminal.end()
        self.assertEqual(code, 0, text)
        self.assertIn("as they were", text)

    def test_long_work_shows_a_bar_and_ctrl_c_ends_it(self):
        folder = self.top / "sparse"
        folder.mkdir()
        for name in ("a.gguf", "b.gguf"):
            with open(folder / name, "wb") as file:
                file.truncate(200 << 30)  # no blocks: reading them takes minutes all the same
                file.seek(0)
                file.write(b"GGUF")
        terminal = Terminal(["scan", "--root", str(folder), "--store", "loose"], self.env(), cwd=self.home)
        try:
            self.assertTrue(terminal.read("%  ".encode(), 30), terminal.seen)
            self.assertTrue(terminal.read(b" left", 30), terminal.seen[-300:])
            began = time.monotonic()
            terminal.send(b"\x03")
            code, text = terminal.end()
        finally:
            for name in ("a.gguf", "b.gguf"):
                (folder / name).unlink()
        self.assertEqual(code, 130, text[-500:])
        self.assertLess(time.monotonic() - began, 20)
        self.assertIn("Stopping at the next safe point", text)
        longest = max(cells(part) for line in ESCAPE.sub("", text).split("\n") for part in line.split("\r"))
        self.assertLessEqual(longest, 80)

    def test_a_reader_that_goes_away_is_no_failure(self):
        import subprocess
        done = subprocess.run(f"set -o pipefail; {BINARY} scan --json | head -c 10 >/dev/null", shell=True, executable="/bin/bash", env=self.env(), capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full on this system")
    def test_a_full_disk_under_standard_output_is_told(self):
        import subprocess
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "scan"], env=self.env(), stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"standard output", done.stderr)

    def payloads(self):
        return sorted(str(p) for p in self.home.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_size > 1_000_000)


class HostileNames(House):
    """Names that carry escape sequences, line breaks, direction overrides and bytes that are no text."""

    NAMES = [b"\x1b[2J\x1b]0;owned\x07.gguf", b"line\nbreak.gguf", b"carriage\rreturn.gguf", b"c1\xc2\x9b31m.gguf", "rlo\u202egpj.exe.gguf".encode(), b"\xff\xfe.gguf",
             b"bell\x07.gguf", b"del\x7f.gguf", b"x" * 250 + b".gguf", b"$(touch pwned).gguf", b"`touch pwned`.gguf", b"; touch pwned.gguf"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        studio = os.fsencode(cls.home / ".lmstudio/models")
        for i, name in enumerate(cls.NAMES):
            publisher = name[:40].removesuffix(b".gguf") + str(i).encode()
            folder = studio + b"/" + publisher + b"/" + name[:60]
            os.makedirs(folder)
            with open(folder + b"/" + name, "wb") as file:
                file.write(b"GGUF" + bytes([i // 2]) * 70_000)

    def test_nothing_raw_reaches_a_terminal_or_a_pipe(self):
        foul = re.compile("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\udc80-\udcff]")
        for words in (["scan"], ["ls"], ["ls", "--ids"], ["dups"], ["du"], ["du", "--verbose"], ["dedup"], ["dedup", "--verbose", "--min-size", "1k"], ["verify"],
                      ["verify", "--verbose", "--deep"], ["doctor"], ["show", "rlo"], ["show", "no\x1b[31msuch"], ["scan", "--root", "/no\x1b[31m/such"], ["\x1b[31m"],
                      ["--\x1b[31m"], ["scan", "--store", "\x1b[31m"]):
            with self.subTest(words):
                _, out, err = self.run_it(*words)
                for line in (out + err).split("\n"):
                    self.assertIsNone(foul.search(line), ascii(line))

    def test_with_colours_only_our_own_sequences_appear(self):
        for words in (["scan"], ["ls"], ["dups"], ["dedup", "--verbose", "--min-size", "1k"]):
            _, text = Terminal(words, self.env(), 80, self.home).end()
            rest = ESCAPE.sub("", text)
            self.assertNotIn("\x1b", rest, words)
            self.assertNotIn("\x07", rest, words)
            self.assertEqual(re.findall(r"\x1b\[2J|\x1b\]0", text), [])

    def test_completion_of_such_a_name_runs_nothing(self):
        import subprocess
        script = f"""
            PATH={os.path.dirname(BINARY)}:/usr/bin:/bin
            source <({BINARY} completions bash)
            COMP_WORDS=(mlxcache show ''); COMP_CWORD=2; _mlxcache
            eval "set -- ${{COMPREPLY[*]}}"; printf '%s\\n' "$@"
        """
        work = self.top / "work"
        work.mkdir()
        done = subprocess.run(["bash", "-c", script], env=self.env(), cwd=work, capture_output=True, text=True)
        self.assertIn("touch pwned", done.stdout)
        self.assertEqual(list(work.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
