"""The page in a real Chromium, a real Prometheus, and whether the bundle is what its sources make. Parts that are not there are told of; with PAGE_STRICT=1
(`./dev web --check`) that is a failure."""
import filecmp
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

from web_test import KEY, Web

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "mlxdash", "web", "page")
BUNDLE = os.path.join(PAGE, "..", "bundle")
STRICT = os.environ.get("PAGE_STRICT") == "1"


def need(case, there, what):
    if not there:
        if STRICT:
            case.fail(f"{what} is not there")
        case.skipTest(f"{what} is not there; ./dev web --check brings it")


class Bundle(unittest.TestCase):
    def test_it_is_what_its_sources_make(self):
        need(self, os.path.isdir(os.path.join(PAGE, "node_modules")) and shutil.which("node"), "node with the page's packages")
        with tempfile.TemporaryDirectory() as fresh:
            subprocess.run(["npx", "--no-install", "tsc", "--noEmit"], cwd=PAGE, check=True, timeout=120)
            subprocess.run(["npx", "--no-install", "vite", "build", "--logLevel", "error", "--outDir", fresh], cwd=PAGE, check=True, timeout=120)
            names = sorted(os.listdir(fresh))
            self.assertEqual(names, sorted(os.listdir(BUNDLE)))
            self.assertEqual(filecmp.cmpfiles(fresh, BUNDLE, names, shallow=False)[1:], ([], []), "make it anew with ./dev web")


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Pages(Web):
    def look(self, *more):
        need(self, chromium(), "Chromium")
        need(self, os.path.isdir(os.path.join(PAGE, "node_modules")) and shutil.which("node"), "node with the page's packages")
        folder = os.environ.get("PAGE_SCREENSHOTS") or self.home.name
        done = subprocess.run(["node", os.path.join(os.path.dirname(__file__), "page.mjs"), f"http://127.0.0.1:{self.port}/", folder, *more],
                              env={**os.environ, "CHROMIUM": chromium()}, capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for seen in json.loads(done.stdout):
            with self.subTest(f"{seen['width']} {seen['colorScheme']}"):
                for what in ("errors", "foreign", "axe"):
                    self.assertEqual(seen[what], [], what)
                self.assertEqual(seen["overflow"], 0, "the page is wider than the window")
                self.assertEqual((seen["before"], seen["stored"]), (seen["colorScheme"], ""))
                self.assertNotEqual(seen["after"], seen["before"])
                if not more:  # else the keyboard goes on from where the form was
                    self.assertEqual(seen["focused"][:2], ["a", "button"], "the keyboard gets past the heading first")
                for text in ("ollama", "llama3.2:3b", "Processor", "Model stores", "Tokens generated"):
                    self.assertIn(text, seen["text"])
                self.assertRegex(seen["text"], "not offered here|not permitted", "what is missing says why")


class Open(Pages):
    def test_the_page(self):
        self.look()


class Locked(Pages):
    ENV = {"MLXDASH_KEY": KEY}

    def test_the_page_asks_for_the_key(self):
        self.look(KEY)

    def test_prometheus_scrapes_it(self):
        need(self, shutil.which("prometheus"), "Prometheus")
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "key"), "w", encoding="utf-8") as file:
                file.write(KEY)
            with open(os.path.join(folder, "prometheus.yml"), "w", encoding="utf-8") as file:
                file.write("global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: mlxdash\n    authorization: {credentials_file: key}\n"
                           f"    static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]\n")
            process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:19427"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(self.value('up{job="mlxdash"}'), 1.0)
                self.assertEqual(self.value("mlxdash_engine_up"), 1.0)
                self.assertGreater(self.value("mlxdash_memory_used_bytes"), 0)
                self.assertGreaterEqual(self.value("mlxdash_cpu_busy_ratio"), 0)
            finally:
                process.terminate()
                process.wait(30)

    @staticmethod
    def value(query):
        end = time.monotonic() + 40
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen("http://127.0.0.1:19427/api/v1/query?query=" + urllib.request.quote(query), timeout=5) as reply:
                    found = json.load(reply)["data"]["result"]
                if found and float(found[0]["value"][1]) >= (1 if query.startswith("up") else 0):
                    return float(found[0]["value"][1])
            except OSError:
                pass
            time.sleep(0.3)
        return None


del Web, Pages  # not suites themselves


if __name__ == "__main__":
    unittest.main()
