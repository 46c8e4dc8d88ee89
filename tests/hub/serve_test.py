"""`mlxhub serve` over HTTP: a real server with a small model whose weights are seeded (those of mlxhub/cpu/reference/decoders.json), asked as clients ask."""
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import reference

BINARY = os.environ["MLXHUB_BINARY"]
CASES = json.loads((Path(__file__).parents[2] / "mlxhub/cpu/reference/decoders.json").read_text())
TEMPLATE = "{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


def make_model(folder):
    """The llama of decoders.json with a tokeniser of single letters."""
    case = CASES["llama"]
    (folder / "config.json").write_text(json.dumps(case["config"]))
    letters = ["<pad>", "<bos>", "<|im_end|>", "\u0120"] + [chr(33 + i) for i in range(92)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": i, "content": letters[i], "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} for i in range(3)]
    (folder / "tokenizer.json").write_text(json.dumps({
        "added_tokens": added, "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": {letter: i for i, letter in enumerate(letters)}, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": TEMPLATE}))
    header, data = {}, b""
    for name, shape in case["tensors"]:
        count = 1
        for n in shape:
            count *= n
        values = struct.pack(f"<{count}f", *reference.numbers(name, count, 0.5, 1.0 if "norm" in name else 0.0))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Server:
    def __init__(self, home, *words):
        # Nothing of this machine's stores: only what the test names.
        self.process = subprocess.Popen([BINARY, "serve", "--port", "0", "--threads", "1", *words], stderr=subprocess.PIPE, text=True,
                                        env={"HOME": str(home), "PATH": os.environ["PATH"]})
        self.port = None
        for line in self.process.stderr:
            if "listening on" in line:
                self.port = int(line.rsplit(":", 1)[1])
                break
        assert self.port, self.process.wait()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, json.loads(text) if response.headers["Content-Type"] == "application/json" else text

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait()
        self.process.stderr.close()
        return status


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = Path(cls.folder.name) / "tiny"
        cls.model.mkdir()
        make_model(cls.model)
        cls.server = Server(cls.folder.name, "--model", str(cls.model))

    @classmethod
    def tearDownClass(cls):
        status = cls.server.end()
        cls.folder.cleanup()
        assert status == 0, status

    def chat(self, **more):
        return self.server.ask("POST", "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0} | more)

    def test_a_chat_says_the_same_whole_and_as_a_stream(self):
        status, whole = self.chat()
        self.assertEqual(status, 200, whole)
        (choice,) = whole["choices"]
        self.assertIn(choice["finish_reason"], ("stop", "length"))
        self.assertEqual(whole["usage"]["prompt_tokens"], len("user:Hi|a:"))
        status, stream = self.chat(stream=True, stream_options={"include_usage": True})
        self.assertEqual(status, 200)
        events = [line[6:] for line in stream.split("\n") if line.startswith("data: ")]
        self.assertEqual(events[-1], "[DONE]")
        chunks = [json.loads(event) for event in events[:-1]]
        self.assertEqual("".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]), choice["message"]["content"])
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
        self.assertEqual(chunks[-2]["choices"][0]["finish_reason"], choice["finish_reason"])

    def test_the_answer_is_that_of_transformers(self):
        case = CASES["llama"]
        letters = ["<pad>", "<bos>", "<|im_end|>", " "] + [chr(33 + i) for i in range(92)]
        prompt = "".join(letters[i] for i in case["prompt"])
        expected = case["greedy"]
        wanted = expected[:expected.index(2)] if 2 in expected else expected
        status, said = self.server.ask("POST", "/v1/completions", {"model": "tiny", "prompt": prompt, "max_tokens": len(expected), "temperature": 0})
        self.assertEqual(status, 200, said)
        self.assertEqual(said["usage"]["prompt_tokens"], len(case["prompt"]))
        self.assertEqual(said["choices"][0]["text"], "".join(letters[i] for i in wanted if i > 2))

    def test_choices_seed_stop_logprobs_and_lists_of_prompts(self):
        status, said = self.chat(n=3, temperature=1, seed=5)
        self.assertEqual([c["index"] for c in said["choices"]], [0, 1, 2])
        self.assertEqual([c["message"]["content"] for c in said["choices"]], [c["message"]["content"] for c in self.chat(n=3, temperature=1, seed=5)[1]["choices"]])
        text = self.chat()[1]["choices"][0]["message"]["content"]
        stopped = self.chat(stop=[text[2:4]])[1]["choices"][0]
        self.assertEqual((stopped["message"]["content"], stopped["finish_reason"]), (text[:text.index(text[2:4])], "stop"))
        entries = self.chat(logprobs=True, top_logprobs=2)[1]["choices"][0]["logprobs"]["content"]
        self.assertEqual("".join(e["token"] for e in entries), text)
        for entry in entries:
            self.assertEqual(entry["top_logprobs"][0]["token"], entry["token"])
        said = self.server.ask("POST", "/v1/completions", {"model": "tiny", "prompt": ["AB", "CD"], "echo": True, "max_tokens": 2, "temperature": 0})[1]
        self.assertEqual([c["text"][:2] for c in said["choices"]], ["AB", "CD"])

    def test_what_cannot_be_honoured_is_refused_with_the_reason(self):
        for more, status, word in (({"temperature": -5}, 400, "temperature"), ({"frobnicate": 1}, 400, "frobnicate"), ({"response_format": {"type": "xml"}}, 400, "response_format"),
                                   ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", "pattern": "a"}}}}, 400, "pattern"),
                                   ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array", "maxItems": 10**12}}}}, 400, "large"),
                                   ({"tools": [{"type": "function"}]}, 400, "tools"), ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "no place"),
                                   ({"tool_choice": "required"}, 400, "no tools"), ({"model": "nobody/has-this"}, 404, "nobody"), ({"messages": []}, 400, "messages"),
                                   ({"messages": [{"role": "user", "content": "x" * 5000}]}, 400, "context"), ({"n": 0}, 400, "n:"), ({"stop": 5}, 400, "stop")):
            got, said = self.chat(**more)
            self.assertEqual(got, status, (more, said))
            self.assertIn(word, said["error"]["message"])
        self.assertEqual(self.server.ask("GET", "/v1/chat/completions")[0], 405)
        self.assertEqual(self.server.ask("GET", "/nothing")[0], 404)

    def test_tokens_and_prompts_can_be_seen(self):
        status, said = self.server.ask("POST", "/tokenize", {"content": "Hi you", "model": "tiny"})
        self.assertEqual(status, 200, said)
        letters = ["<pad>", "<bos>", "<|im_end|>", " "] + [chr(33 + i) for i in range(92)]
        self.assertEqual("".join(letters[i] for i in said["tokens"]), "Hi you")
        pieces = self.server.ask("POST", "/tokenize", {"content": "Hi", "with_pieces": True})[1]["tokens"]
        self.assertEqual([p["piece"] for p in pieces], ["H", "i"])
        self.assertEqual(self.server.ask("POST", "/detokenize", {"tokens": said["tokens"]})[1], {"content": "Hi you"})
        self.assertEqual(self.server.ask("POST", "/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})[1], {"prompt": "user:Hi|a:"})
        for path, body, word in (("/tokenize", {}, "content"), ("/detokenize", {"tokens": [96]}, "below 96"), ("/detokenize", {"tokens": "a"}, "tokens"), ("/tokenize", {"content": "a", "frob": 1}, "frob")):
            status, said = self.server.ask("POST", path, body)
            self.assertEqual(status, 400, (path, body, said))
            self.assertIn(word, said["error"]["message"])

    def test_each_dialect_says_no_in_its_own_words(self):
        hi = [{"role": "user", "content": "Hi"}]
        for body, word in (({"options": {"mirostat": 2}}, "mirostat"), ({"options": {"frob": 1}}, "options.frob"), ({"frob": 1}, "frob"), ({"keep_alive": "soon"}, "keep_alive"), ({"model": ""}, "model")):
            status, said = self.server.ask("POST", "/api/chat", {"model": "tiny", "messages": hi} | body)
            self.assertEqual(status, 400, (body, said))
            self.assertIn(word, said["error"])
        for body, word in (({"max_tokens": None}, "max_tokens"), ({"temperature": 1.5}, "temperature"), ({"frob": 1}, "frob"), ({"messages": [{"role": "system", "content": "a"}]}, "role")):
            status, said = self.server.ask("POST", "/v1/messages", {"model": "tiny", "messages": hi, "max_tokens": 4} | body)
            self.assertEqual((status, said["type"], said["error"]["type"]), (400, "error", "invalid_request_error"), (body, said))
            self.assertIn(word, said["error"]["message"])
        self.assertEqual(self.server.ask("POST", "/api/generate", {"model": "nobody", "prompt": "a"})[0], 404)
        self.assertEqual(self.server.ask("GET", "/v1/models/nobody")[0], 404)

    def test_all_dialects_say_the_same(self):
        hi, text = [{"role": "user", "content": "Hi"}], self.chat()[1]["choices"][0]["message"]["content"]
        options = {"temperature": 0, "num_predict": 8}
        self.assertEqual(self.server.ask("POST", "/api/chat", {"model": "tiny", "messages": hi, "stream": False, "options": options})[1]["message"]["content"], text)
        self.assertEqual(self.server.ask("POST", "/api/generate", {"model": "tiny", "prompt": "Hi", "stream": False, "options": options})[1]["response"], text)
        said = self.server.ask("POST", "/v1/messages", {"model": "tiny", "messages": hi, "max_tokens": 8, "temperature": 0})[1]
        self.assertEqual([(b["type"], b["text"]) for b in said["content"]], [("text", text)])

    def test_pages_of_others_and_strange_hosts_may_not_ask(self):
        self.assertEqual(self.server.ask("GET", "/health")[0], 200)
        self.assertEqual(self.server.ask("GET", "/health", headers={"Host": "evil.example"})[0], 403)
        self.assertEqual(self.server.ask("GET", "/health", headers={"Origin": "https://evil.example"})[0], 403)
        self.assertEqual(self.server.ask("GET", "/health", headers={"Origin": "http://localhost:3000"})[0], 200)

    def test_garbage_is_answered_and_the_server_lives(self):
        for garbage in (b"\x00\xff\x16\x03 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"x" * 100000, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n[[[[["):
            with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
                answer = b""
                try:
                    connection.sendall(garbage)
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(4096)
                except OSError:  # the server may have hung up before all was said
                    pass
                self.assertTrue(not answer or answer.startswith(b"HTTP/1.1 4"), answer)
        self.assertEqual(self.server.ask("GET", "/health")[0], 200)

    def test_a_client_that_goes_cancels_its_request(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "n": 32, "max_tokens": 200,
                                                                       "logit_bias": {"2": -100}}), {"Content-Type": "application/json"})
        connection.getresponse().read(100)
        connection.close()
        while True:
            metrics = self.server.ask("GET", "/metrics")[1]
            values = {line.split()[0]: int(line.split()[1]) for line in metrics.splitlines() if not line.startswith("#")}
            if values["mlxhub_requests_active"] == 0 and values["mlxhub_requests_waiting"] == 0:
                break
        self.assertGreater(values["mlxhub_requests_total"], 0)

    def test_many_at_once_say_what_one_says(self):
        alone = self.chat()[1]["choices"][0]["message"]["content"]
        said = []
        threads = [threading.Thread(target=lambda: said.append(self.chat()[1]["choices"][0]["message"]["content"])) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(said, [alone] * 12)

    def test_models_are_listed(self):
        status, said = self.server.ask("GET", "/v1/models")
        self.assertEqual((status, [m["id"] for m in said["data"]]), (200, ["tiny"]))


class Faults(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.model = Path(self.folder.name) / "tiny"
        self.model.mkdir()
        make_model(self.model)
        self.server = Server(self.folder.name, "--model", str(self.model))
        self.addCleanup(lambda: self.assertEqual(self.server.end(), 0))

    def chat(self, **more):
        return self.server.ask("POST", "/v1/chat/completions", {"model": str(self.model), "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0} | more)

    def test_a_weight_file_that_is_cut_short_fails_requests_and_not_the_server(self):
        before = self.chat()[1]["choices"][0]["message"]["content"]
        weights = self.model / "model.safetensors"
        whole = weights.read_bytes()
        with open(weights, "r+b") as file:  # in place: the server has it mapped
            file.truncate(4096)
        status, said = self.chat()
        self.assertEqual(status, 500, said)
        self.assertIn("became shorter", said["error"]["message"])
        status, said = self.chat()
        self.assertEqual(status, 400, said)  # it was loaded again, and is no whole file
        self.assertEqual(self.server.ask("GET", "/health")[0], 200)
        weights.unlink()
        weights.write_bytes(whole)
        self.assertEqual(self.chat()[1]["choices"][0]["message"]["content"], before)

    def test_half_a_request_and_many_idle_connections_keep_nobody_waiting(self):
        idle = []
        try:
            for _ in range(400):
                idle.append(socket.create_connection(("127.0.0.1", self.server.port)))
            for half in (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"model\"", b"GET /hea", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"):
                connection = socket.create_connection(("127.0.0.1", self.server.port))
                connection.sendall(half)
                idle.append(connection)
            self.assertEqual(self.chat()[0], 200)
        finally:
            for connection in idle:
                connection.close()
        self.assertEqual(self.chat()[0], 200)

    def test_a_request_that_is_too_large_is_refused_and_the_server_lives(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
            answer = connection.recv(4096)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413"), answer)
        status, said = self.chat(messages=[{"role": "user", "content": "x" * (1 << 20)}])
        self.assertEqual(status, 400)
        self.assertIn("context", said["error"]["message"])

    def test_a_client_that_does_not_read_holds_nobody_up(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "n": 16, "max_tokens": 200, "logprobs": True, "top_logprobs": 20, "logit_bias": {"2": -100}}).encode()
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertEqual(self.chat()[0], 200)
        while True:
            metrics = self.server.ask("GET", "/metrics")[1]
            if "mlxhub_requests_active 0" in metrics and "mlxhub_requests_waiting 0" in metrics:
                break
        self.assertEqual(self.chat()[0], 200)

    def test_a_bomb_of_a_schema_or_of_nesting_is_refused(self):
        doubling = {"type": "integer"}
        for _ in range(100):
            doubling = {"anyOf": [doubling, {"type": "null"}]}
        for body in ('{"model":' + "[" * 100000, '{"messages":' + '{"a":' * 200 + "1" + "}" * 201):
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
            connection.request("POST", "/v1/chat/completions", body)
            self.assertEqual(connection.getresponse().status, 400)
            connection.close()
        for schema in (doubling, {"type": "array", "items": {"type": "string", "minLength": 10**9}}, {"enum": ["x" * 300000]}):
            status, said = self.chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
            self.assertEqual(status, 400, str(said)[:300])


class Program(unittest.TestCase):
    def run_hub(self, *words, text=None, home="/nonexistent"):
        done = subprocess.run([BINARY, *words], input=text, capture_output=True, text=True, timeout=60, env={"HOME": str(home), "PATH": os.environ["PATH"]})
        return done.returncode, done.stdout, done.stderr

    def test_a_running_server_is_asked(self):
        with tempfile.TemporaryDirectory() as home:
            model = Path(home) / "tiny"
            model.mkdir()
            make_model(model)
            server = Server(home, "--model", str(model), "--api-key", "right")
            try:
                at = ("--server", f"http://127.0.0.1:{server.port}", "--api-key", "right")
                status, said, _ = self.run_hub("ps", "--json", *at)
                self.assertEqual((status, [m["id"] for m in json.loads(said)["models"]]), (0, ["tiny"]))
                self.assertEqual(json.loads(said)["schema"], "mlxhub.ps/1")
                self.assertIn("tiny", self.run_hub("ps", *at)[1])
                status, said, error = self.run_hub("chat", "tiny", *at, text="Hi")
                self.assertEqual(status, 0, error)
                self.assertTrue(said.endswith("\n"))
                status, _, error = self.run_hub("chat", "nobody", *at, text="Hi")
                self.assertEqual(status, 4)
                self.assertIn("no model 'nobody'", error)
                self.assertEqual(self.run_hub("ps", "--server", f"127.0.0.1:{server.port}")[0], 4)  # without the key
                self.assertEqual(self.run_hub("stop", "tiny", *at)[:2], (0, "tiny is let go.\n"))
                self.assertEqual(json.loads(self.run_hub("ps", "--json", *at)[1])["models"], [])
                self.assertEqual(self.run_hub("stop", "tiny", *at)[0], 4)
            finally:
                self.assertEqual(server.end(), 0)
            self.assertEqual(self.run_hub("ps", *at)[0], 4)

    def test_models_are_listed_for_programs_too(self):
        with tempfile.TemporaryDirectory() as home:
            status, said, _ = self.run_hub("ls", "--json", home=home)
            self.assertEqual((status, json.loads(said)), (0, {"schema": "mlxhub.ls/1", "models": []}))
        self.assertEqual(self.run_hub("--help")[0], 0)
        self.assertEqual(self.run_hub("frob")[0], 2)


class Memory(unittest.TestCase):
    def test_a_model_that_does_not_fit_is_refused_with_the_sum_and_idle_ones_go_first(self):
        with tempfile.TemporaryDirectory() as home:
            for name in ("one", "two"):
                (Path(home) / name).mkdir()
                make_model(Path(home) / name)

            def ask(server, name):
                return server.ask("POST", "/v1/completions", {"model": str(Path(home) / name), "prompt": "a", "max_tokens": 1})

            def loaded(server):
                return [model["model"] for model in server.ask("GET", "/api/ps")[1]["models"]]

            server = Server(home, "--memory", "100kB")
            try:
                status, said = ask(server, "one")
                self.assertEqual(status, 503, said)
                self.assertRegex(said["error"]["message"], r"one needs .* of memory \(.* of weights, .* of keys and values\); 100 kB are allowed")
                need = said["error"]["message"].split("needs ")[1].split(" of memory")[0]
            finally:
                self.assertEqual(server.end(), 0)
            value, unit = need.split()
            room = int(float(value) * {"kB": 1e3, "MB": 1e6}[unit] * 1.5)  # for one, not for two
            server = Server(home, "--memory", str(room))
            try:
                for name in ("one", "two", "one"):
                    self.assertEqual(ask(server, name)[0], 200)
                    while loaded(server) != [name]:  # the last request may not have let go of the other yet
                        pass
            finally:
                self.assertEqual(server.end(), 0)
            server = Server(home, "--memory", str(room), "--model", str(Path(home) / "one"))
            try:
                status, said = ask(server, "two")
                self.assertEqual(status, 503)
                self.assertIn("in use or kept: one", said["error"]["message"])
            finally:
                self.assertEqual(server.end(), 0)

    def test_a_model_goes_when_nobody_asks(self):
        with tempfile.TemporaryDirectory() as home:
            (Path(home) / "one").mkdir()
            make_model(Path(home) / "one")
            server = Server(home, "--keep", "0s")
            try:
                self.assertEqual(server.ask("POST", "/v1/completions", {"model": str(Path(home) / "one"), "prompt": "a", "max_tokens": 1})[0], 200)
                while server.ask("GET", "/api/ps")[1]["models"]:
                    pass
            finally:
                self.assertEqual(server.end(), 0)


class Keys(unittest.TestCase):
    def test_a_key_is_needed_where_one_is_set(self):
        with tempfile.TemporaryDirectory() as home:
            server = Server(home, "--api-key", "right")
            try:
                self.assertEqual(server.ask("GET", "/v1/models")[0], 401)
                self.assertEqual(server.ask("GET", "/v1/models", headers={"Authorization": "Bearer wrong"})[0], 401)
                self.assertEqual(server.ask("GET", "/v1/models", headers={"Authorization": "Bearer right"})[0], 200)
                self.assertEqual(server.ask("GET", "/health")[0], 200)
            finally:
                self.assertEqual(server.end(), 0)

    def test_an_address_that_others_reach_needs_a_key(self):
        done = subprocess.run([BINARY, "serve", "--address", "0.0.0.0", "--port", "0"], capture_output=True, text=True, env={"HOME": "/nonexistent"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api-key", done.stderr)


if __name__ == "__main__":
    unittest.main()
