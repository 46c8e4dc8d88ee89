"""`mlxdash web` as a browser, Prometheus and an attacker meet it: real sockets, the real program."""
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from dash_test import BINARY, Ollama
import http.server

KEY = "0123456789abcdef0123"


class Web(unittest.TestCase):
    WORDS = ()
    ENV = {}

    @classmethod
    def setUpClass(cls):
        cls.ollama = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
        threading.Thread(target=cls.ollama.serve_forever, daemon=True).start()
        cls.home = tempfile.TemporaryDirectory()
        cls.process = subprocess.Popen([BINARY, "web", "--port", "0", "--interval", "0.25", "--no-find", "--engine", f"http://127.0.0.1:{cls.ollama.server_port}", *cls.WORDS],
                                       env={"HOME": cls.home.name, "PATH": os.environ["PATH"], **cls.ENV}, stderr=subprocess.PIPE, text=True)
        line = cls.process.stderr.readline()
        cls.port = int(line.split("http://")[1].split(",")[0].strip().rsplit(":", 1)[1])

    @classmethod
    def tearDownClass(cls):
        cls.process.send_signal(signal.SIGTERM)
        code = cls.process.wait(20)
        cls.process.stderr.close()
        cls.ollama.shutdown()
        cls.ollama.server_close()
        cls.home.cleanup()
        assert code == 0, code

    def ask(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, dict((n.lower(), v) for n, v in reply.getheaders()), reply.read()

    def live(self, **headers):
        """A stream; gives a function for its next event."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/live", headers=headers)
        reply = connection.getresponse()
        self.assertEqual((reply.status, reply.getheader("content-type")), (200, "text/event-stream"))

        def event():
            fields = {}
            while line := reply.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            return fields

        self.assertEqual(event(), {"retry": "2000"})
        return connection, event

    def rests(self):
        """Whether the server that is watched is asked nothing for a second."""
        Ollama.asked.clear()
        time.sleep(1.0)
        return not Ollama.asked


class Open(Web):
    def test_the_page_comes_compressed_guarded_and_again_only_if_it_changed(self):
        code, headers, body = self.ask("/", accept_encoding="gzip")
        self.assertEqual((code, headers["content-encoding"], body[:2]), (200, "gzip", b"\x1f\x8b"))
        for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
            self.assertIn(part, headers["content-security-policy"])
        self.assertNotIn("unsafe", headers["content-security-policy"])
        self.assertEqual((headers["x-content-type-options"], headers["cross-origin-resource-policy"]), ("nosniff", "same-origin"))
        code, plain, body = self.ask("/index.html")
        self.assertNotIn("content-encoding", plain)
        self.assertTrue(body.startswith(b"<!doctype html>"))
        self.assertEqual(self.ask("/", if_none_match=headers["etag"])[::2], (304, b""))

    def test_a_snapshot_is_what_json_prints(self):
        code, headers, body = self.ask("/api/snapshot")
        seen = json.loads(body)
        self.assertEqual((code, headers["cache-control"], seen["schema"]), (200, "no-store", "mlxdash.snapshot/1"))
        self.assertEqual(seen["engines"][0]["models"][0]["name"], "llama3.2:3b")
        self.assertTrue(0 <= seen["cpu"]["busy"] <= 1, "rates are there at the first question")

    def test_metrics(self):
        code, headers, body = self.ask("/metrics")
        self.assertEqual((code, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertIn(b"mlxdash_engine_up{", body)

    def test_live_events_come_and_stop_the_looking_when_the_last_watcher_goes(self):
        connection, event = self.live()
        first, second = event(), event()
        self.assertEqual((first["event"], int(second["id"])), ("snapshot", int(first["id"]) + 1))
        self.assertLess(json.loads(first["data"])["wall_ns"], json.loads(second["data"])["wall_ns"])
        self.assertFalse(self.rests())
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        time.sleep(0.5)
        self.assertTrue(self.rests(), "nobody watches, so nobody is asked")

    def test_history_of_what_was_watched(self):
        _, event = self.live()
        for _ in range(4):
            event()
        end = time.monotonic() + 15
        while time.monotonic() < end:
            code, _, body = self.ask("/api/history?series=mlxdash_memory_used_bytes&since=10m")
            self.assertEqual(code, 200)
            points = json.loads(body)["series"][0]["points"]
            if points:
                break
            time.sleep(0.3)
        self.assertEqual(len(points[0]), 4)
        self.assertIn({"key": "mlxdash_memory_used_bytes"}, json.loads(self.ask("/api/history")[2])["series"])
        self.assertEqual(self.ask("/api/history?since=soon")[0], 400)
        self.assertEqual(self.ask("/api/history?" + "series=a&" * 65)[0], 400)

    def test_foreign_names_and_pages_are_refused(self):
        self.assertEqual(self.ask("/metrics", Host="evil.example")[0], 403)
        self.assertEqual(self.ask("/", Host="evil.example")[0], 403, "a name that was bent to this machine")
        for origin in ("https://evil.example", "http://127.0.0.1:1", "null", f"http://localhost:{self.port}"):
            self.assertEqual(self.ask("/api/snapshot", Origin=origin)[0], 403, origin)
        self.assertEqual(self.ask("/api/snapshot", Origin=f"http://127.0.0.1:{self.port}")[0], 200)

    def test_there_is_nothing_to_change(self):
        for method in ("POST", "PUT", "DELETE"):
            self.assertEqual(self.ask("/api/snapshot", method)[0], 405)
        self.assertEqual(self.ask("/api/live", "HEAD")[0], 405)
        self.assertEqual(self.ask("/metrics", "HEAD")[::2], (200, b""))
        for path in ("/../etc/passwd", "/%2e%2e/etc/passwd", "/api", "/nothing"):
            self.assertEqual(self.ask(path)[0], 404, path)

    def test_two_hundred_idle_connections_and_fifty_streams_hold_nobody_up(self):
        idle = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(200)]
        for connection in idle:
            self.addCleanup(connection.close)
        streams = [self.live() for _ in range(50)]
        for _, event in streams:
            self.assertEqual(event()["event"], "snapshot")
        begun = time.monotonic()
        self.assertEqual(self.ask("/api/snapshot")[0], 200)
        self.assertLess(time.monotonic() - begun, 5)

    def test_nothing_of_a_prompt_is_in_it(self):
        seen = json.loads(self.ask("/api/snapshot")[2])
        self.assertNotIn("prompt", {key for engine in seen["engines"] for key in engine})


class Locked(Web):
    ENV = {"MLXDASH_KEY": KEY}

    def test_values_need_the_key_and_the_page_does_not(self):
        self.assertEqual(self.ask("/")[0], 200)
        self.assertEqual(self.ask("/health")[0], 200)
        for path in ("/metrics", "/api/snapshot", "/api/live", "/api/history"):
            self.assertEqual(self.ask(path)[0], 401, path)
            self.assertEqual(self.ask(path, Authorization="Bearer " + KEY[:-1])[0], 401, path)
        self.assertEqual(self.ask("/metrics", Authorization=f"Bearer {KEY}")[0], 200)
        _, event = self.live(Authorization=f"Bearer {KEY}")
        self.assertEqual(event()["event"], "snapshot")

    def test_the_key_stands_nowhere(self):
        with open(f"/proc/{self.process.pid}/cmdline", encoding="utf-8") as file:
            self.assertNotIn(KEY, file.read())


class Words(unittest.TestCase):
    def refused(self, *words, **env):
        done = subprocess.run([BINARY, "web", "--port", "0", *words], env={"HOME": "/nonexistent", "PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stderr

    def test_others_need_a_key_and_a_good_one(self):
        for words, env, named in ((["--address", "0.0.0.0"], {}, "--key-file"), ([], {"MLXDASH_KEY": "short"}, "16"), ([], {"MLXDASH_KEY": "has a blank in the middle"}, "blanks"),
                                  (["--port", "70000"], {}, "--port")):
            code, err = self.refused(*words, **env)
            self.assertEqual(code, 2, err)
            self.assertIn(named, err)
        self.assertEqual(self.refused("--key-file", "/nonexistent/key")[0], 4)

    def test_a_taken_port_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, err = self.refused("--port", str(taken.getsockname()[1]))
        self.assertEqual(code, 4)
        self.assertIn("listen on", err)


if __name__ == "__main__":
    unittest.main()
