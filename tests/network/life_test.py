"""What a pull lives through that is no server's fault: killed, interrupted, run twice at once; proxies, mirrors, TLS, IPv6, no network.
And where the token goes: to its own host, and into nothing that is printed or written."""
import signal
import socket
import time
import unittest
from pathlib import Path

import faults
import payloads
from certificates import Authority
import http2
from hub import sha256
from proxies import HttpProxy, SocksProxy
from pull_case import BUSY, CANCELLED, FAILED, FILES, OK, PERMISSION, PullCase

MIB = 1 << 20
LARGE = payloads.safetensors(51, 160 * MIB)
TOKEN = "hf_aTokenThatIsNowhereElse"
WEIGHTS = sha256(FILES["model.safetensors"])


class PullResumes(PullCase):
    def with_large(self, rate=8 * MIB):
        self.files = {"model.safetensors": LARGE, "config.json": b"{}"}
        self.commit = self.a_repo("org/alpha", self.files)
        self.hub.cdn.fault(faults.slow(rate), times=None)  # each connection

    def cut_short(self, sent, how):
        """Starts a pull and sends it `how` once the server has sent so many bytes. Returns its exit code, and the bytes sent."""
        process = self.tool().start("pull", "org/alpha")
        try:
            end = time.monotonic() + 60
            while self.hub.cdn.served_bytes < sent:
                self.assertIsNone(process.poll(), "it ended before it could be cut short")
                self.assertLess(time.monotonic(), end, "no bytes come")
                time.sleep(0.01)
            process.send_signal(how)
            out, err = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.assert_nothing_visible()
        self.said = out + err
        return process.returncode, sum(request.sent for request in self.hub.cdn.forget())

    def goes_on(self, came):
        self.hub.heal()
        self.pull()
        self.assert_pulled(self.files)
        again = self.hub.cdn.served_bytes
        # Lost at most: a piece of each of 8 connections, and what lay in the kernel's buffers.
        self.assertLessEqual(again, len(LARGE) - came + 8 * 8 * MIB + 16 * MIB)
        self.assertLess(again, len(LARGE) - 32 * MIB, "it began from the start")

    def test_after_a_kill_only_the_rest_comes(self):
        self.with_large()
        _, came = self.cut_short(120 * MIB, signal.SIGKILL)
        self.goes_on(came)

    def test_after_ctrl_c_only_the_rest_comes(self):
        self.with_large()
        code, came = self.cut_short(120 * MIB, signal.SIGINT)
        self.assertEqual(CANCELLED, code)
        self.goes_on(came)

    def test_after_several_kills_only_the_rest_comes(self):
        self.with_large()
        for _ in range(2):
            self.cut_short(80 * MIB, signal.SIGKILL)  # what there is gets recorded every 64 MiB
        self.hub.heal()
        self.pull()
        self.assert_pulled(self.files)
        self.assertLess(self.hub.cdn.served_bytes, len(LARGE) - 64 * MIB)

    def test_another_commit_in_between_keeps_what_is_still_right(self):
        self.with_large()
        _, came = self.cut_short(120 * MIB, signal.SIGKILL)
        self.files = self.files | {"config.json": b'{"v":2}'}
        self.commit = self.a_repo("org/alpha", self.files)
        self.goes_on(came)

    def test_a_partial_that_was_damaged_meanwhile_is_noticed(self):
        self.with_large()
        self.cut_short(120 * MIB, signal.SIGKILL)
        parts = [path for path in Path(self.base).rglob("*.part")]
        self.assertTrue(parts, "no partial file was left")
        for part in parts:
            with open(part, "r+b") as file:
                file.seek(1000)
                file.write(b"damage")
        self.hub.heal()
        self.pull()
        self.assert_pulled(self.files)

    def test_two_at_once_download_once(self):
        self.with_large(rate=30 * MIB)
        both = [self.tool().start("pull", "org/alpha") for _ in range(2)]
        ends = [(process.communicate(timeout=200), process.returncode) for process in both]
        codes = sorted(code for _, code in ends)
        self.assertIn(codes, ([OK, OK], [OK, BUSY]), ends)
        self.assert_pulled(self.files)
        self.assertLess(self.hub.cdn.served_bytes, len(LARGE) * 1.2)

    def test_two_at_once_of_many_files(self):
        self.files = {f"part-{i:03}.bin": payloads.noise(i, 3_000 + i) for i in range(120)} | {"a.safetensors": payloads.safetensors(52, 30 * MIB), "b.safetensors": payloads.safetensors(53, 30 * MIB)}
        self.commit = self.a_repo("org/alpha", self.files)
        self.hub.cdn.fault(faults.slow(10 * MIB), times=None)
        both = [self.tool().start("pull", "org/alpha") for _ in range(3)]
        ends = [(process.communicate(timeout=200), process.returncode) for process in both]
        self.assertEqual([OK] * 3, [code for _, code in ends], ends)
        self.assert_pulled(self.files)
        self.assertLess(sum(request.sent for request in self.hub.cdn.requests), 80 * MIB, "large files came more than once")
        left = [path.name for path in Path(self.base).rglob("*") if path.parent.name == "downloads" and not path.name.endswith(".lock")]
        self.assertEqual([], left)

    def test_a_second_pull_transfers_metadata_only(self):
        self.pull()
        self.hub.forget()
        self.pull()
        self.assertEqual(0, self.hub.served_bytes)
        self.assert_pulled()

    def test_what_another_store_holds_is_not_downloaded(self):
        folder = self.home / ".lmstudio/models/somebody/else"
        folder.mkdir(parents=True)
        for i, (_, data) in enumerate(sorted(FILES.items())):
            (folder / f"{i}.safetensors").write_bytes(data) if data[:4] != b"GGUF" else (folder / f"{i}.gguf").write_bytes(data)
        self.pull()
        self.assertEqual(0, self.hub.cdn.served_bytes)
        for path, data in FILES.items():
            self.assertEqual(sha256(data), sha256((self.snapshot() / path).read_bytes()))

    def test_a_plan_changes_nothing_and_downloads_nothing(self):
        before = sorted(str(path) for path in self.home.rglob("*"))
        answer = self.pull("org/alpha", "--plan")
        self.assertEqual(before, sorted(str(path) for path in self.home.rglob("*")))
        self.assertEqual(0, self.hub.cdn.served_bytes)
        self.assertIn("model.safetensors", answer.said)

    def test_a_selection_brings_only_what_was_chosen(self):
        self.pull("org/alpha", "--include", "*.json", "--include", "*.md", "--exclude", "R*")
        self.assertTrue((self.snapshot() / "config.json").exists())
        self.assertFalse((self.snapshot() / "README.md").exists())
        self.assertFalse((self.snapshot() / "model.safetensors").exists())
        self.assert_true_names()

    def test_a_quantisation_brings_its_file(self):
        self.commit = self.a_repo("org/quants", {f"m-{name}.gguf": payloads.gguf(i, 100_000) for i, name in enumerate(("Q4_K_M", "Q8_0", "F16"))} | {"config.json": b"{}"})
        self.pull("org/quants", "--quant", "q8_0")
        self.assertEqual(["m-Q8_0.gguf"], sorted(path.name for path in self.snapshot("org/quants").rglob("*.gguf")))

    def test_one_file(self):
        self.pull("hf:org/alpha/gguf/alpha-Q4_K_M.gguf")
        self.assertEqual(["alpha-Q4_K_M.gguf"], sorted(path.name for path in self.snapshot().rglob("*") if path.is_file()))

    def test_a_commit_and_a_branch(self):
        other = self.hub.repos["org/alpha"].commit({"config.json": b'{"v":7}'}, ref="refs/pr/1")
        self.pull("org/alpha@refs/pr/1")
        self.assertEqual(other, (self.cache / "models--org--alpha/refs/refs/pr/1").read_text())
        self.pull(f"org/alpha@{self.commit}", "--include", "config.json")
        self.assertEqual(b'{"model_type":"llama"}', (self.snapshot() / "config.json").read_bytes())

    def test_a_url_with_its_digest(self):
        data = FILES["gguf/alpha-Q4_K_M.gguf"]
        url = f"{self.hub.url}/org/alpha/resolve/main/gguf/alpha-Q4_K_M.gguf"
        self.pull(f"{url}#sha256={sha256(data)}", "--to", "lm-studio")
        found = [path for path in self.home.rglob("*.gguf") if path.is_file()]
        self.assertTrue(found and all(path.read_bytes() == data for path in found), found)

    def test_a_url_with_another_digest_is_refused(self):
        url = f"{self.hub.url}/org/alpha/resolve/main/gguf/alpha-Q4_K_M.gguf"
        self.pull(f"{url}#sha256={'0' * 64}", "--to", "lm-studio", expect=FAILED)
        self.assertEqual([], [path for path in self.home.rglob("*.gguf")])


class PullGoesThroughProxies(PullCase):
    def setUp(self):
        super().setUp()
        self.named()

    def named(self, **more):
        self.hub = self.a_hub(shown=("hub.example", "cdn.example"), **more)
        self.commit = self.a_repo("org/alpha", FILES)

    def through(self, proxy, **env):
        self.pull(**env)
        self.assert_pulled()
        self.assertEqual({("hub.example", self.hub.control.port), ("cdn.example", self.hub.cdn.port)}, set(proxy.asked))

    def test_http_proxy(self):
        with HttpProxy() as proxy:
            self.through(proxy, http_proxy=proxy.url)

    def test_all_proxy(self):
        with HttpProxy() as proxy:
            self.through(proxy, ALL_PROXY=proxy.url)

    def test_socks_proxy(self):
        with SocksProxy() as proxy:
            self.through(proxy, all_proxy=proxy.url)

    def test_https_through_a_tunnel(self):
        with Authority() as ca, HttpProxy() as proxy:
            self.named(tls=ca)
            self.through(proxy, https_proxy=proxy.url, SSL_CERT_FILE=ca.file)
            self.assertTrue(all(first.startswith("CONNECT ") for first, _ in proxy.heads))

    def test_a_proxy_that_is_not_for_loopback(self):
        self.hub = self.a_hub()
        self.commit = self.a_repo("org/alpha", FILES)
        with HttpProxy() as proxy:
            self.pull(http_proxy=proxy.url)
            self.assertEqual([], proxy.asked)

    def test_no_proxy_is_heeded(self):
        with HttpProxy() as proxy:
            self.pull(http_proxy=proxy.url, no_proxy="example.org,.example", expect=FAILED, timeout=120)
            self.assertEqual([], proxy.asked)

    def test_upper_case_http_proxy_is_not_read(self):
        with HttpProxy() as proxy:
            self.pull(HTTP_PROXY=proxy.url, expect=FAILED, timeout=120)
            self.assertEqual([], proxy.asked)

    def test_a_proxy_with_a_password_that_is_never_shown(self):
        with HttpProxy(password="dXNlcjpzM2NyZXRXb3Jk") as proxy:  # user:s3cretWord
            address = proxy.url.replace("://", "://user:s3cretWord@")
            answer = self.pull(http_proxy=address)
            self.assert_pulled()
            wrong = self.pull("org/alpha@nothing", expect=None, http_proxy=address.replace("s3cretWord", "wr0ngWord"))
            for said in (answer.said, wrong.said):
                self.assertNotIn("s3cretWord", said)
                self.assertNotIn("wr0ngWord", said)

    def test_a_dead_proxy_is_named(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            answer = self.pull(expect=FAILED, http_proxy=f"http://127.0.0.1:{port}", timeout=120)
        self.assertIn(str(port), answer.said)
        self.assert_nothing_visible()


class PullObeysMirrors(PullCase):
    """Every request is seen, since all go through a proxy: names that are not loopback to the client, and no name but these."""

    def behind(self):
        self.hub = self.a_hub(shown=(None, "cdn.example"))
        self.commit = self.a_repo("org/alpha", FILES)
        self.mirror = f"http://mirror.example:{self.hub.control.port}"
        proxy = SocksProxy().__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy

    def original(self, *names):
        """The mirror passes on what the original says: addresses at huggingface.co."""
        def change(answer, _):
            for name in names:
                if self.hub.url in answer.headers.get(name, ""):
                    answer.headers[name] = answer.headers[name].replace(self.hub.url, "https://huggingface.co")
        self.hub.control.fault(change, method=None, times=None)

    def test_no_request_to_any_other_host(self):
        proxy = self.behind()
        self.pull(HF_ENDPOINT=self.mirror + "/", all_proxy=proxy.url)
        self.assert_pulled()
        self.assertEqual({("mirror.example", self.hub.control.port), ("cdn.example", self.hub.cdn.port)}, set(proxy.asked))

    def test_next_pages_at_the_original_are_not_asked_there(self):
        proxy = self.behind()
        self.hub.page_size = 2
        self.original("Link")
        answer = self.pull(HF_ENDPOINT=self.mirror, all_proxy=proxy.url, expect=None)
        self.assertFalse([host for host, _ in proxy.asked if "huggingface" in host])
        if answer.code == OK:
            self.assert_pulled()
        else:
            self.assertIn("huggingface.co", answer.said)
            self.assert_nothing_visible()

    def test_redirects_to_the_original_are_not_asked_there(self):
        proxy = self.behind()
        self.hub.renamed["old/name"] = "org/alpha"
        self.hub.control.fault(lambda answer, request: answer.headers.update(Location="https://huggingface.co" + answer.headers["Location"]) if answer.status == 307 else None, method=None, times=None)
        self.pull("old/name", HF_ENDPOINT=self.mirror, all_proxy=proxy.url, expect=None)
        self.assertFalse([host for host, _ in proxy.asked if "huggingface" in host])

    def test_the_token_never_travels_unencrypted(self):
        proxy = self.behind()
        self.hub.tokens = {TOKEN: ()}
        self.pull(HF_ENDPOINT=self.mirror, all_proxy=proxy.url, HF_TOKEN=TOKEN, expect=None)
        self.assertFalse([request.target for request in self.hub.requests if request.mentions(TOKEN)])


class PullOnOtherRoads(PullCase):
    def test_tls_with_an_authority_that_is_named(self):
        with Authority() as ca:
            self.hub = self.a_hub(tls=ca)
            self.commit = self.a_repo("org/alpha", FILES)
            self.pull(SSL_CERT_FILE=ca.file)
            self.assert_pulled()

    def test_tls_with_an_unknown_authority_is_refused(self):
        with Authority() as ca:
            self.hub = self.a_hub(tls=ca)
            self.commit = self.a_repo("org/alpha", FILES)
            self.hub.tokens = {TOKEN: ()}
            answer = self.pull(expect=(FAILED, PERMISSION), HF_TOKEN=TOKEN, timeout=60)
            self.assertIn("certificate", answer.said.lower())
            self.assertEqual([], self.hub.requests)

    def test_http2(self):
        if http2.PROGRAM is None:
            self.unavailable("nghttpx is missing")
        with Authority() as ca, http2.Http2(ca, self.hub.control) as control, http2.Http2(ca, self.hub.cdn) as cdn:
            self.hub.url = self.hub.control.url
            self.hub.page_size = 2
            self.pull(SSL_CERT_FILE=ca.file)
            self.assert_pulled()
            self.assertEqual({"h2"}, {protocol for protocol, _, path in control.spoken() if "/api/" in path or "config.json" in path})
            # Large bodies have connections of their own: one lost packet shall hold up one range and not all of them.
            self.assertEqual({"http/1.1"}, {protocol for protocol, _, path in cdn.spoken() if WEIGHTS in path})

    def test_ipv6(self):
        self.hub = self.a_hub(host="::1", cdn_host="::1")
        self.commit = self.a_repo("org/alpha", FILES)
        self.pull()
        self.assert_pulled()

    def test_https_is_never_left_for_http(self):
        with Authority() as ca, HttpProxy() as proxy:
            plain = self.a_hub(shown=("other.example", "other.example"))
            self.a_repo("org/alpha", FILES, hub=plain)
            self.hub = self.a_hub(tls=ca, shown=("hub.example", "cdn.example"))
            self.commit = self.a_repo("org/alpha", FILES)
            self.hub.control.fault(faults.redirect(plain.url + "/org/alpha/resolve/main/model.safetensors"), path="/resolve/", method=None, times=None)
            self.pull(expect=None, SSL_CERT_FILE=ca.file, all_proxy=proxy.url)
            self.assertEqual([], [request.target for request in plain.requests])
            self.assertGreater(len(self.hub.requests), 0)

    def test_offline_asks_nobody(self):
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MLXCACHE_OFFLINE"):
            with self.subTest(variable=name):
                answer = self.pull(expect=FAILED, **{name: "1"})
                self.assertIn("offline", answer.said.lower())
                self.assertEqual([], self.hub.requests)

    def test_no_network(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            answer = self.pull(expect=FAILED, HF_ENDPOINT=f"http://127.0.0.1:{probe.getsockname()[1]}", timeout=120)
        self.assertIn("127.0.0.1", answer.said)
        self.assert_nothing_visible()

    def test_a_name_that_does_not_resolve(self):
        answer = self.pull(expect=FAILED, HF_ENDPOINT="https://nothing.invalid", timeout=120)
        self.assertIn("nothing.invalid", answer.said)
        self.assertIn("no address", answer.said)

    def test_a_full_disk_says_so_before_it_begins(self):
        volume = self.volume("ext4", mib=64)
        home = volume.path / "home"
        home.mkdir()
        self.commit = self.a_repo("org/alpha", {"model.safetensors": LARGE})
        answer = self.mlxcache(home, {"HF_ENDPOINT": self.hub.url}).run("pull", "org/alpha", expect=7)
        self.assertEqual(0, self.hub.cdn.served_bytes)
        self.assertIn("space", (answer.stdout + answer.stderr).lower())


class PullKeepsTokens(PullCase):
    def setUp(self):
        super().setUp()
        self.hub.tokens = {TOKEN: ("org/gated",)}
        for name, more in (("org/private", {"private": True}), ("org/gated", {"gated": True})):
            self.commit = self.a_repo(name, FILES, **more)

    def nowhere(self, *said, but=()):
        for text in said:
            self.assertNotIn(TOKEN, text)
        for name, data in self.everything_written():
            if name.decode(errors="replace") not in but:
                self.assertNotIn(TOKEN.encode(), name + data, "the token was written")
        self.assertFalse([request.target for request in self.hub.requests if TOKEN in request.target], "a token in an address")
        self.assertFalse([request.target for request in self.hub.cdn.requests if request.mentions(TOKEN)], "the token went to another host")

    def test_from_the_environment(self):
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            with self.subTest(variable=name):
                answer = self.pull("org/private", **{name: TOKEN})
                self.assertTrue([request for request in self.hub.control.requests if request.header("Authorization") == f"Bearer {TOKEN}"])
                self.nowhere(answer.said)

    def test_from_the_token_file(self):
        file = self.home / ".cache/huggingface/token"
        file.parent.mkdir(parents=True)
        file.write_text(TOKEN + "\n")
        answer = self.pull("org/gated")
        self.assert_pulled(repo="org/gated")
        self.nowhere(answer.said, but=(str(file),))
        elsewhere = self.home / "elsewhere"
        file.rename(elsewhere)
        answer = self.pull("org/private", HF_TOKEN_PATH=elsewhere)
        self.nowhere(answer.said, but=(str(elsewhere),))

    def test_not_sent_when_that_is_asked_for(self):
        self.pull("org/alpha", HF_TOKEN=TOKEN, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        self.assertFalse([request for request in self.hub.requests if request.mentions(TOKEN)])

    def test_when_all_goes_wrong(self):
        said = []
        for change, where in ((faults.status(500, {}, TOKEN.encode()), "/api/"), (faults.status(401, {"X-Error-Message": "no " + TOKEN}), "/api/"),
                              (faults.redirect(f"http://localhost:{self.hub.cdn.port}/x?token={TOKEN}"), "/resolve/"), (faults.body(b"<" + TOKEN.encode()), "/tree/"),
                              (faults.reset_after(-1), "/api/"), (faults.status(429, {"Retry-After": "86400"}), "/api/")):
            self.hub.control.fault(change, path=where, method=None, times=None)
            said.append(self.pull("org/private", expect=None, HF_TOKEN=TOKEN).said)
            self.hub.heal()
        for text in said:
            self.assertNotIn(TOKEN, text)
        for name, data in self.everything_written():
            self.assertNotIn(TOKEN.encode(), name + data)

    def test_a_signed_address_is_printed_and_written_nowhere(self):
        self.hub.cdn.fault(faults.status(404), times=None)
        answer = self.pull("org/alpha", expect=None)
        self.assertNotIn("Signature=", answer.said)
        for name, data in self.everything_written():
            self.assertNotIn(b"Signature=", name + data)

    def test_not_to_another_host_after_a_redirect(self):
        other = self.a_hub()
        self.a_repo("org/private", FILES, hub=other)

        def away(answer, request):
            faults.redirect(other.url + request.target, 307)(answer, request)
        self.hub.control.fault(away, method=None, times=None)
        self.pull("org/private", expect=None, HF_TOKEN=TOKEN)
        self.assertFalse([request.target for request in other.requests if request.mentions(TOKEN)])

    def test_not_on_the_command_line(self):
        self.hub.cdn.fault(faults.slow(1_000_000), times=None)
        process = self.tool(HF_TOKEN=TOKEN).start("pull", "org/private")
        seen = set()
        while process.poll() is None:
            for file in ("cmdline", "comm"):
                try:
                    seen.add(Path(f"/proc/{process.pid}/{file}").read_bytes())
                except OSError:
                    pass
            time.sleep(0.05)
        process.communicate()
        self.assertFalse([line for line in seen if TOKEN.encode() in line])

    def test_a_token_with_a_line_break_makes_no_second_header(self):
        answer = self.pull("org/alpha", expect=None, HF_TOKEN="hf_a\r\nX-Evil: 1")
        self.assertFalse([request for request in self.hub.requests if request.header("X-Evil")])
        self.assertNotIn("X-Evil", answer.said)


if __name__ == "__main__":
    unittest.main()
