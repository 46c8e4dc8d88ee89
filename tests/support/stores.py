"""Writes copies of payloads into the layouts of tools that are not at hand to write them: Ollama's blobs as a pull from hf.co leaves
them, LM Studio's folders, llama.cpp's flat cache. (A real Ollama server and real Hugging Face clients have suites of their own.)"""
import hashlib
import json
import os
from pathlib import Path


def _blob(models, data, mtime=None):
    digest = hashlib.sha256(data).hexdigest()
    path = Path(models) / "blobs" / f"sha256-{digest}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return "sha256:" + digest, path


def ollama(models, name, payload, mtime=None):
    """`name` as "hf.co/org/repo:tag" or "library/model:tag". Returns the payload's blob path."""
    where, tag = name.rsplit(":", 1)
    if where.count("/") == 1:
        where = "registry.ollama.ai/" + where
    config = json.dumps({"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1B",
                         "file_type": "F16", "architecture": "amd64", "os": "linux"}).encode()
    config_digest, _ = _blob(models, config, mtime)
    digest, path = _blob(models, payload, mtime)
    manifest = Path(models) / "manifests" / where / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config_digest, "size": len(config)},
        "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(payload)}]}))
    return path


def lm_studio(home, publisher, model, files, mtime=None):
    """files: {name: bytes}. Returns the model's folder."""
    folder = Path(home) / ".lmstudio" / "models" / publisher / model
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        if mtime is not None:
            os.utime(folder / name, (mtime, mtime))
    return folder


def llama_cpp(home, name, data):
    folder = Path(home) / ".cache" / "llama.cpp"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name
