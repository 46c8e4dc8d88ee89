"""Completions and manual pages: what packaging/ holds is what the program makes, and shells and roff accept it."""
import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from house import BINARY, HERE, House

PACKAGING = HERE.parents[1] / "packaging"
FILES = {"bash": "mlxcache.bash", "zsh": "_mlxcache", "fish": "mlxcache.fish"}
STRICT = os.environ.get("CI") == "true"


class Generated(House):
    def need(self, program):
        if shutil.which(program) is None:
            if STRICT and sys.platform == "linux":
                self.fail(f"{program} is not installed, and CI must have it")
            self.skipTest(f"{program} is not installed")

    def made(self, *words):
        code, out, err = self.run_it(*words)
        self.assertEqual((code, err), (0, ""))
        return out

    def same(self, path, text):
        if os.environ.get("MLXCACHE_UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.assertEqual(path.read_text(), text, f"{path}: make it anew with MLXCACHE_UPDATE_GOLDEN=1")

    def shell(self, *command, script=None, **env):
        done = subprocess.run(command, input=script, env=self.env(PATH=f"{os.path.dirname(BINARY)}:/usr/local/bin:/usr/bin:/bin", **env), capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def test_packaging_holds_what_the_program_makes(self):
        for shell, name in FILES.items():
            self.same(PACKAGING / "completions" / name, self.made("completions", shell))
        self.same(PACKAGING / "man/mlxcache.1", self.made("man"))
        names = [c["name"] for c in json.loads(self.made("help", "--json"))["commands"]]
        for name in names:
            self.same(PACKAGING / f"man/mlxcache-{name}.1", self.made("man", name))
        self.assertEqual({p.name for p in (PACKAGING / "man").iterdir()}, {"mlxcache.1"} | {f"mlxcache-{n}.1" for n in names})
        self.assertEqual({p.name for p in (PACKAGING / "completions").iterdir()}, set(FILES.values()))

    def test_roff_has_no_complaint(self):
        self.need("groff")
        for page in sorted((PACKAGING / "man").glob("*.1")):
            code, _, err = self.shell("groff", "-man", "-ww", "-z", "-Tutf8", str(page))
            self.assertEqual((code, err), (0, ""), page.name)

    def test_bash_takes_the_script(self):
        script = str(PACKAGING / "completions/mlxcache.bash")
        self.assertEqual(self.shell("bash", "-n", script), (0, "", ""))
        self.need("shellcheck")
        self.assertEqual(self.shell("shellcheck", script), (0, "", ""))

    def complete_in_bash(self, *words):
        quoted = " ".join(f"'{w}'" for w in words)
        script = f"source '{PACKAGING}/completions/mlxcache.bash'\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mlxcache; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        code, out, err = self.shell("bash", "-c", script)
        self.assertEqual((code, err), (0, ""))
        return out.split()

    def test_bash_completes_commands_options_and_values(self):
        self.assertIn("scan", self.complete_in_bash("mlxcache", ""))
        self.assertEqual(self.complete_in_bash("mlxcache", "und"), ["undo"])
        self.assertEqual(self.complete_in_bash("mlxcache", "dedup", "--app"), ["--apply"])
        self.assertEqual(self.complete_in_bash("mlxcache", "scan", "--app"), [])
        self.assertEqual(self.complete_in_bash("mlxcache", "dedup", "--store", "olla"), ["ollama"])
        self.assertEqual(self.complete_in_bash("mlxcache", "dedup", "--method", ""), ["auto", "reflink", "hardlink", "symlink"])
        self.assertIn("llama:1b", self.complete_in_bash("mlxcache", "show", "ll"))

    def test_zsh_takes_the_script(self):
        self.need("zsh")
        folder = self.top / "zfunc"
        folder.mkdir()
        shutil.copy(PACKAGING / "completions/_mlxcache", folder)
        self.assertEqual(self.shell("zsh", "-n", str(folder / "_mlxcache")), (0, "", ""))
        code, out, err = self.shell("zsh", "-f", "-c", f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {self.top}/dump; print -r -- $_comps[mlxcache]; autoload +X _mlxcache && whence -w _mlxcache")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.split("\n")[:2], ["_mlxcache", "_mlxcache: function"])

    def test_zsh_completes_on_a_terminal(self):
        self.need("zsh")
        import time
        from terminal_test import Terminal
        import house
        folder = self.top / "zfunc2"
        folder.mkdir()
        shutil.copy(PACKAGING / "completions/_mlxcache", folder)
        (self.top / "zdot").mkdir()
        (self.top / "zdot/.zshrc").write_text(f"fpath=({folder} $fpath)\nautoload -Uz compinit\ncompinit -u -d {self.top}/dump2\nPS1='READY> '\n")
        import terminal_test
        old, terminal_test.BINARY = terminal_test.BINARY, shutil.which("zsh")
        try:
            terminal = Terminal(["-i"], self.env(PATH=f"{os.path.dirname(BINARY)}:/usr/bin:/bin", ZDOTDIR=str(self.top / "zdot"), TERM="dumb"), 120)
        finally:
            terminal_test.BINARY = old
        self.assertTrue(terminal.read(b"READY> ", 30), terminal.seen)
        terminal.send(b"mlxcache und\t")
        self.assertTrue(terminal.read(b"undo ", 30), terminal.seen)
        terminal.send(b"\x15mlxcache dedup --meth\t\t")
        self.assertTrue(terminal.read(b"symlink", 30), terminal.seen)
        terminal.send(b"\x15exit\n")
        terminal.end()

    def test_fish_completes(self):
        self.need("fish")
        script = PACKAGING / "completions/mlxcache.fish"
        self.assertEqual(self.shell("fish", "--no-config", "-n", str(script)), (0, "", ""))

        def complete(line):
            code, out, err = self.shell("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
            self.assertEqual((code, err), (0, ""))
            return [row.split("\t")[0] for row in out.splitlines()]
        self.assertIn("scan", complete("mlxcache "))
        self.assertEqual(complete("mlxcache dedup --app"), ["--apply"])
        self.assertIn("ollama", complete("mlxcache dedup --store "))
        self.assertIn("llama:1b", complete("mlxcache show ll"))
        self.assertNotIn("--apply", complete("mlxcache scan --a"))


if __name__ == "__main__":
    unittest.main()
