"""A real Ollama server of a test's own."""
import json
import os
import socket
import subprocess
import time
import urllib.request

from environments import OLLAMA

# One thread: the runner's threads spin while they wait for each other, which starves a busy machine.
OPTIONS = {"seed": 1, "temperature": 0, "num_predict": 8, "num_thread": 1}
OLD = time.time() - 3 * 3600  # past the hour for which the server leaves young blobs alone when it prunes


class Server:
    """`ollama serve` with a HOME and models folder of its own, on a free loopback port, its pruning on. Ends by its pid."""

    def __init__(self, home):
        self.home = home
        self.models = home / ".ollama/models"
        self.models.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "OLLAMA_MODELS": str(self.models), "OLLAMA_HOST": self.address,
                    "OLLAMA_KEEP_ALIVE": "0", "OLLAMA_CONTEXT_LENGTH": "256", "TERM": "dumb", "LANG": "C.UTF-8"}

    def __enter__(self):
        self.log = open(self.home / "serve.log", "ab")
        self.process = subprocess.Popen([OLLAMA, "serve"], env=self.env, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd="/")
        for _ in range(300):
            try:
                self.get("/api/version")
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise AssertionError("the Ollama server did not come up: " + (self.home / "serve.log").read_text()[-2000:])

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path, value):
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def ollama(self, *arguments, ok=True):
        done = subprocess.run([OLLAMA, *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        if ok and done.returncode != 0:
            raise AssertionError(f"ollama {arguments}: exit {done.returncode}: {done.stderr[-1000:]}")
        return done.stdout

    def names(self):
        return sorted(line.split()[0] for line in self.ollama("list").splitlines()[1:])

    def generate(self, model):
        answer = self.post("/api/generate", {"model": model, "prompt": "the a", "stream": False, "options": OPTIONS})
        return answer["response"]
