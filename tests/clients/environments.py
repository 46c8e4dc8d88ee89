"""The pinned environments that prepare.py made, and one client of each as a callable."""
import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("CLIENTS_BUILD", "/nonexistent"))
PYTHON = {name: BUILD / name / "bin" / "python" for name in ("hf0", "hf1", "hf2", "loaders", "mlxhub")}
OLLAMA = BUILD / "ollama-v0.6.6" / "ollama"


class HuggingFace:
    """One huggingface_hub version with a home of its own, talking to a hub of tests/support/hub.py."""

    def __init__(self, name, home, hub, xet=True, **env):
        self.name = name
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1",
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1", "LANG": "C.UTF-8"}
        if name == "hf2" and xet:  # writes its shared blob store for xet files only
            self.env["XET_BYTES_FROM"] = hub.url + "/bytes-of-xet/"
        else:
            self.env["HF_HUB_DISABLE_XET"] = "1"
        self.env.update(env)

    def call(self, command, **options):
        done = subprocess.run([PYTHON[self.name], "-B", HERE / "hf_client.py", command, json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in options.items()})],
                              env=self.env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"{self.name} {command} {options}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def hf(self, *arguments):
        """The `hf` program of this version. Returns its output; fails on a non-zero exit."""
        done = subprocess.run([PYTHON[self.name].parent / "hf", *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"{self.name}: hf {arguments}: exit {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        return done.stdout
