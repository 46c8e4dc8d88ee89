#!/usr/bin/env python3
"""What watching costs: processor time, memory and bytes written by monitors on a pseudo-terminal of 120 by 40, side by side, each looking once a second.

    python3 bench/dash.py [--seconds 60] [--engines 5] [--models 20]

`mlxdash web` is measured without a terminal: with nobody watching, with one watcher, with ten.

mlxdash gets servers to watch (scripted Ollamas, in a process of their own) besides the machine; btop, where it is installed,
watches the machine alone.
"""
import argparse
import fcntl
import http.client
import http.server
import json
import multiprocessing
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def serve(ports, models, ready):
    class Ollama(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        loaded = {"models": [{"name": f"model-{i}:8b", "size": 5_000_000_000, "size_vram": 0, "details": {"format": "gguf", "quantization_level": "Q4_K_M"},
                              "expires_at": "2318-01-01T00:00:00Z", "context_length": 8192} for i in range(models)]}

        def do_GET(self):
            body = json.dumps({"/api/version": {"version": "0.6.6"}, "/api/ps": self.loaded}.get(self.path, {"models": []})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    for port in ports:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Ollama)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ready.put(server.server_port)
    signal.pause()


def usage(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    memory = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("VmRSS", "VmHWM", "RssAnon")):
                memory[line.split(":")[0]] = int(line.split()[1]) / 1024
    return (int(fields[11]) + int(fields[12])) / TICK, memory


def watch(words, seconds, env):
    began = time.monotonic()
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, env)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    first, seen, settled = None, 0, None
    while time.monotonic() - began < seconds + 5:
        if select.select([master], [], [], 0.05)[0]:
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:
                break
            if first is None and len(chunk) > 100:
                first = time.monotonic() - began
            seen += len(chunk)
        if settled is None and time.monotonic() - began >= 5:  # the start is not what watching costs
            settled = (time.monotonic(), usage(pid)[0], seen)
    spent, memory = usage(pid)
    result = {"first": first, "cpu": (spent - settled[1]) / (time.monotonic() - settled[0]), "start": settled[1], "bytes": (seen - settled[2]) / (time.monotonic() - settled[0]), **memory}
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        if select.select([master], [], [], 0.05)[0]:
            try:
                os.read(master, 1 << 16)
            except OSError:
                break
    os.close(master)
    return result


def serve_and_watch(words, seconds, env, watchers):
    """The server with so many streams open, all read."""
    process = subprocess.Popen([*words[:1], "web", "--port", "0", *words[1:]], env=env, stderr=subprocess.PIPE, text=True)
    port = int(process.stderr.readline().rsplit(":", 1)[1])
    began = time.monotonic()
    seen, first = [0], [None]

    def read():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/api/live")
        reply = connection.getresponse()
        try:
            while chunk := reply.read1(1 << 16):
                seen[0] += len(chunk)
                if first[0] is None and b"snapshot" in chunk:
                    first[0] = time.monotonic() - began
        except OSError:
            pass

    for _ in range(watchers):
        threading.Thread(target=read, daemon=True).start()
    time.sleep(5)
    spent, start, bytes_then = usage(process.pid)[0], time.monotonic(), seen[0]
    time.sleep(seconds)
    end, memory = usage(process.pid)
    lasted = time.monotonic() - start
    process.terminate()
    process.wait(20)
    process.stderr.close()
    return {"first": first[0], "cpu": (end - spent) / lasted, "start": spent, "bytes": (seen[0] - bytes_then) / lasted, **memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/bin/mlxdash")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--engines", type=int, default=5)
    parser.add_argument("--models", type=int, default=20, help="in all")
    options = parser.parse_args()
    ready = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=([0] * options.engines, options.models // max(options.engines, 1), ready), daemon=True)
    server.start()
    urls = [f"http://127.0.0.1:{ready.get(timeout=20)}" for _ in range(options.engines)]
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        os.makedirs(f"{home}/.config/btop")
        with open(f"{home}/.config/btop/btop.conf", "w", encoding="utf-8") as file:
            file.write("update_ms=1000\n")
        rows = [(f"mlxdash, {options.engines} servers with {options.models} models, history kept", [os.path.abspath(options.binary), *[w for u in urls for w in ("--engine", u)]]),
                ("mlxdash, no server", [os.path.abspath(options.binary), "--no-find"])]
        if shutil.which("btop"):
            rows.append(("btop, 1 s", ["btop", "--utf-force"]))
        print("| program | CPU, % of one core | first picture, ms | RSS, MB | of it its own (anonymous), MB | peak RSS, MB | bytes/s to the terminal | CPU s of the first 5 s |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, words in rows:
            r = watch(words, options.seconds, env)
            show(name, r)
        for watchers, name in ((0, "nobody watching"), (1, "one watcher"), (10, "ten watchers")):
            show(f"mlxdash web, {options.engines} servers, {name}", serve_and_watch(rows[0][1], options.seconds, env, watchers))
    server.terminate()


def show(name, r):
    first = "–" if r["first"] is None else f"{r['first'] * 1000:.0f}"
    print(f"| {name} | {r['cpu'] * 100:.2f} | {first} | {r['VmRSS']:.1f} | {r['RssAnon']:.1f} | {r['VmHWM']:.1f} | {r['bytes']:.0f} | {r['start']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
