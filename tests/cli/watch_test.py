"""`watch` and `status` as scripts meet them: lines of events, their schemas, the service files, bad limits."""
import json
import os
import plistlib
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import schema
from house import BINARY, HERE, House

PACKAGING = HERE.parents[1] / "packaging"


class Watch(House):
    def events(self, *words, expect=0):
        code, out, err = self.run_it("watch", *words, "--json")
        self.assertEqual(code, expect, out + err)
        events = [json.loads(line) for line in out.splitlines()]
        for event in events:
            self.assertEqual(schema.errors(event, schema.load("watch")), [], event)
        return events

    def status(self, expect=0):
        code, out, err = self.run_it("status", "--json")
        self.assertEqual(code, expect, out + err)
        value = json.loads(out)
        self.assertEqual(schema.errors(value, schema.load("status")), [], value)
        return value

    def test_events_and_status_keep_their_schemas(self):
        would = [e for e in self.events("--once", "--dry-run", "--quiet-for", "0s", "--method", "hardlink", "--yes") if e["event"] == "would_share"]
        self.assertEqual(len(would), 3)
        self.assertNotIn("pid", self.status()["watcher"], "a dry run leaves no trace")
        shared = self.events("--once", "--quiet-for", "0s", "--method", "hardlink", "--yes", "--max-read", "1G/hour")
        self.assertEqual(sum(e["bytes_freed"] for e in shared if e["event"] == "shared"), next(e["bytes_freed"] for e in shared if e["event"] == "done"))
        watcher = self.status()["watcher"]
        self.assertEqual((watcher["state"], watcher["files"], watcher["once"]), ("stopped", 3, True))
        self.assertGreater(watcher["budget"]["used"], 0)
        code, out, err = self.run_it("undo", "--json")
        self.assertEqual((code, json.loads(out)["transaction"]), (0, watcher["last_transaction"]), err)
        again = self.events("--once", "--quiet-for", "0s", "--method", "hardlink", "--yes")
        self.assertEqual([e for e in again if e["event"] == "shared"], [], "what was taken back stays so")

    def test_status_tells_of_what_was_cut_short_and_of_a_file_it_cannot_read(self):
        (self.state / "journal").mkdir(parents=True, exist_ok=True)
        bad = self.state / "watch.json"
        kept = bad.read_bytes() if bad.exists() else None
        bad.write_text("{}")
        self.assertEqual(self.status(expect=1)["watcher"]["state"], "unreadable")
        bad.unlink()
        if kept is not None:
            bad.write_bytes(kept)
        part = self.state / "downloads" / ("ab" * 32 + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"p" * 8192)
        self.assertEqual(self.status()["downloads"], {"number": 1, "bytes": 8192})
        part.unlink()

    def test_limits_that_make_no_sense_are_refused(self):
        for words in (["--max-read", "5G/week"], ["--max-read", "0"], ["--max-cpu", "0"], ["--max-cpu", "101"], ["--max-cpu", "half"], ["--quiet-for", "soon"],
                      ["--install", "--uninstall"]):
            code, out, err = self.run_it("watch", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn("mlxcache:", err)

    @unittest.skipIf(sys.platform == "darwin", "systemd is Linux's")
    def test_the_systemd_unit_is_written_and_systemd_understands_it(self):
        home = self.top / "unit home"
        home.mkdir()
        env = self.env(home, HF_HOME="/big disk/50%", HF_TOKEN="hf_secret")
        code, out, err = self.run_it("watch", "--install", "--max-read", "20G/day", "--only-on-power", "--root", "models", home=home, env=env)
        self.assertEqual(code, 0, err)
        unit = home / ".config/systemd/user/mlxcache-watch.service"
        text = unit.read_text()
        self.assertIn(f"ExecStart={Path(BINARY).resolve()} watch --max-read 20G/day --only-on-power --root", text)
        self.assertIn(f'--root "{home}/models"', text)
        self.assertIn('Environment="HF_HOME=/big disk/50%%"', text)
        self.assertIn(f"Environment=MLXCACHE_HOME={self.state}", text)
        self.assertNotIn("secret", text)
        self.assertIn("systemctl --user enable --now mlxcache-watch.service", out)
        self.verify_unit(unit)
        code, out, err = self.run_it("watch", "--uninstall", home=home, env=env)
        self.assertEqual(code, 0, err)
        self.assertFalse(unit.exists())
        code, out, err = self.run_it("watch", "--uninstall", home=home, env=env)
        self.assertEqual(code, 0, err)
        self.assertIn("There is no", out)

    def verify_unit(self, unit):
        tool = shutil.which("systemd-analyze")
        if tool is None:
            print("NOT RUN: systemd-analyze is not installed; the unit's text alone was checked", file=sys.stderr)
            return
        done = subprocess.run([tool, "verify", "--man=no", "--user", str(unit)], capture_output=True, text=True, timeout=120,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(self.top), "XDG_RUNTIME_DIR": str(self.top)})
        # Without a running systemd it still reads the unit; what it says of that very file is what counts.
        about = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
        self.assertEqual(about, [])

    def test_packaged_service_files_are_well_formed(self):
        with open(PACKAGING / "launchd/mlxcache.watch.plist", "rb") as file:
            agent = plistlib.load(file)
        self.assertEqual(agent["ProgramArguments"][1:], ["watch"])
        self.assertEqual((agent["RunAtLoad"], agent["KeepAlive"], agent["ProcessType"]), (True, {"SuccessfulExit": False}, "Background"))
        if sys.platform != "darwin":
            copy = self.top / "mlxcache-watch.service"
            copy.write_text((PACKAGING / "systemd/mlxcache-watch.service").read_text().replace("/usr/bin/mlxcache", BINARY))
            self.verify_unit(copy)


if __name__ == "__main__":
    unittest.main()
