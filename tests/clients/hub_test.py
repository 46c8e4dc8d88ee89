"""The hub of tests/support is no fiction: three generations of the real client download, list, resume and fail against it as they
do against the real one. What our own pull is tested with is therefore what the clients' authors had in mind."""
import hashlib
import unittest

import faults
import payloads
import trees
from case import Case
from certificates import Authority
from environments import HuggingFace
from hub import Hub, Repo

WEIGHTS = payloads.safetensors(21, 3_000_000)
FILES = {"model.safetensors": WEIGHTS, "config.json": b'{"v":1}', "README.md": b"# alpha\n", "gguf/alpha.gguf": payloads.gguf(22, 200_000), "onnx/model.onnx": b"o" * 5000}
TOKEN = "hf_aTokenThatIsNowhereElse"
CLIENTS = ("hf0", "hf1", "hf2")


class HubIsNoFiction(Case):
    def setUp(self):
        self.home = self.volume("folder").path / "home"
        self.home.mkdir()

    def hub(self, **more):
        hub = Hub(**more)
        hub.__enter__()
        self.addCleanup(hub.__exit__)
        hub.repos["org/alpha"] = Repo()
        self.commit = hub.repos["org/alpha"].commit(FILES)
        return hub

    def each(self, hub, **env):
        for name in CLIENTS:
            hub.forget()
            hub.heal()
            yield HuggingFace(name, self.home, hub, xet=False, **env), self.home / f"cache-{name}"

    def assert_whole(self, folder):
        for path, data in FILES.items():
            self.assertEqual(trees.sha256_of(f"{folder}/{path}"), hashlib.sha256(data).hexdigest(), path)

    def test_clients_download_large_files_from_the_second_origin(self):
        hub = self.hub()
        for client, cache in self.each(hub):
            self.assert_whole(client.call("snapshot", repo="org/alpha", cache_dir=cache))
            self.assertEqual(3, len([r for r in hub.cdn.requests if r.status in (200, 206)]))
            self.assertIn(self.commit, client.call("snapshot", repo="org/alpha", cache_dir=cache))

    def test_clients_read_every_page_of_a_listing(self):
        hub = self.hub()
        hub.page_size = 2
        for client, _ in self.each(hub):
            self.assertEqual(sorted([*FILES, "gguf", "onnx"]), sorted(client.call("tree", repo="org/alpha")))
            self.assertGreaterEqual(len(hub.control.requests), 4)

    def test_clients_name_the_errors_that_it_names(self):
        hub = self.hub()
        hub.repos["org/private"] = Repo(private=True)
        hub.repos["org/gated"] = Repo(gated=True)
        hub.repos["org/disabled"] = Repo(disabled=True)
        for name in ("org/private", "org/gated", "org/disabled"):
            hub.repos[name].commit({"config.json": b"{}", "model.safetensors": WEIGHTS[:1000]})
        hub.tokens = {TOKEN: ()}
        for client, cache in self.each(hub):
            def said(file="config.json", cache=cache, **options):
                return client.call("attempt", what="download", file=file, cache_dir=cache, **options)
            self.assertEqual("RepositoryNotFoundError", said(repo="org/nothing"))
            self.assertEqual("RepositoryNotFoundError", said(repo="org/private"))
            self.assertEqual("GatedRepoError", said(repo="org/gated"))
            self.assertEqual("DisabledRepoError", client.call("attempt", what="info", repo="org/disabled"))
            self.assertEqual("RemoteEntryNotFoundError" if client.name != "hf0" else "EntryNotFoundError", said(repo="org/alpha", file="nothing.json").replace("LocalEntry", "Entry"))
            self.assertEqual("RevisionNotFoundError", client.call("attempt", what="snapshot", repo="org/alpha", revision="nothing", cache_dir=cache))
            client.env["HF_TOKEN"] = TOKEN
            self.assertEqual("fine", said(repo="org/private"))
            self.assertEqual("GatedRepoError", said(repo="org/gated"))
            hub.tokens = {TOKEN: ("org/gated",)}
            self.assertEqual("fine", said(repo="org/gated", file="model.safetensors"))
            hub.tokens = {TOKEN: ()}
            client.env["HF_TOKEN"] = "hf_wrong"
            self.assertNotEqual("fine", client.call("attempt", what="info", repo="org/alpha"))

    def test_clients_send_the_token_to_the_hub_alone(self):
        hub = self.hub()
        hub.repos["org/alpha"].private = True
        hub.tokens = {TOKEN: ()}
        for client, cache in self.each(hub, HF_TOKEN=TOKEN):
            self.assert_whole(client.call("snapshot", repo="org/alpha", cache_dir=cache))
            self.assertTrue(any(request.mentions(TOKEN) for request in hub.control.requests))
            self.assertFalse([request.target for request in hub.cdn.requests if request.mentions(TOKEN)])

    def test_clients_follow_a_renamed_repository(self):
        hub = self.hub()
        hub.renamed["old/name"] = "org/alpha"
        for client, cache in self.each(hub):
            self.assert_whole(client.call("snapshot", repo="old/name", cache_dir=cache))

    def test_clients_get_over_a_reset_and_a_cut(self):
        hub = self.hub()
        data = payloads.noise(23, 25_000_000)  # they write in pieces of 10 MB
        hub.repos["org/large"] = Repo()
        hub.repos["org/large"].commit({"model.bin": data})
        for name, fault in (("reset", faults.reset_after(21_000_000)), ("cut", faults.truncate_after(21_000_000))):
            for client, cache in self.each(hub):
                hub.cdn.fault(fault, path=hashlib.sha256(data).hexdigest())
                client.call("attempt", what="download", repo="org/large", file="model.bin", cache_dir=cache / name)
                path = client.call("download", repo="org/large", file="model.bin", cache_dir=cache / name)
                self.assertEqual(hashlib.sha256(data).hexdigest(), trees.sha256_of(path))
                if client.name == "hf0":  # the later ones write to a new temporary name each time, and so begin again
                    self.assertIn(206, [request.status for request in hub.cdn.requests], f"after a {name}")

    def test_clients_see_a_body_of_another_length(self):
        hub = self.hub()
        for client, cache in self.each(hub):
            hub.cdn.fault(faults.longer(10), path=hashlib.sha256(WEIGHTS).hexdigest(), times=None)
            self.assertNotEqual("fine", client.call("attempt", what="snapshot", repo="org/alpha", cache_dir=cache))

    def test_the_newest_client_waits_when_told_to(self):
        hub = self.hub()
        hub.control.fault(faults.status(429, {"Retry-After": "1", "RateLimit": '"api";r=0;t=1'}), path="/resolve/", method="HEAD", times=1)
        hub.control.fault(faults.status(503), path="/resolve/", method=None, times=1)
        client = HuggingFace("hf2", self.home, hub, xet=False)
        self.assertIn(client.call("attempt", what="snapshot", repo="org/alpha", cache_dir=self.home / "c"), ("fine",))

    def test_clients_speak_to_it_over_tls(self):
        with Authority() as ca:
            hub = self.hub(tls=ca)
            for client, cache in self.each(hub, SSL_CERT_FILE=str(ca.file), REQUESTS_CA_BUNDLE=str(ca.file)):
                self.assert_whole(client.call("snapshot", repo="org/alpha", cache_dir=cache))

    def test_clients_speak_to_it_over_ipv6(self):
        hub = self.hub(host="::1")
        for client, cache in self.each(hub):
            self.assert_whole(client.call("snapshot", repo="org/alpha", cache_dir=cache))

    def test_an_expired_address_is_refused(self):
        hub = self.hub()
        hub.address_lasts = -1
        for client, cache in self.each(hub):
            self.assertNotEqual("fine", client.call("attempt", what="snapshot", repo="org/alpha", cache_dir=cache))
            self.assertTrue([r for r in hub.cdn.requests if r.status == 403])


if __name__ == "__main__":
    unittest.main()
