"""`mlxcache pull` against a hub that does everything that networks and servers do: right bytes in the cache, or a clear error with
nothing visible in any store, and in both cases what arrived is not lost."""
import time
import unittest

import faults
import payloads
from email.utils import formatdate
from hub import sha256
from pull_case import FAILED, FILES, OK, PERMISSION, SMALL, SPACE, PullCase

LARGE = payloads.safetensors(41, 70_000_000)  # three ranges of 32 MiB
WEIGHTS = sha256(SMALL)  # the part of the CDN's address that names it


class PullGetsOver(PullCase):
    """Faults that pass: the model is there afterwards, and nothing else is."""

    def gets_over(self, change, where="cdn", files=None, times=1, path=None, method="GET", **more):
        origin = self.hub.cdn if where == "cdn" else self.hub.control
        default = {"cdn": WEIGHTS, "tree": "/tree/", "info": "/api/models/", "resolve": "/resolve/"}[where]
        fault = origin.fault(change, path=path or default, method=method, times=times)
        answer = self.pull(**more)
        self.assertGreater(fault.happened, 0, "the fault was not met, so this shows nothing")
        self.assert_pulled(files)
        return answer

    def with_large(self):
        self.commit = self.a_repo("org/alpha", {"model.safetensors": LARGE, "config.json": b"{}"})
        return {"files": {"model.safetensors": LARGE, "config.json": b"{}"}, "path": sha256(LARGE)}

    def test_a_plain_pull(self):
        self.pull()
        self.assert_pulled()
        self.assert_nothing_outside()
        self.assertLessEqual(self.hub.cdn.served_bytes, sum(len(data) for data in FILES.values()), "bytes came twice")

    def test_server_errors(self):
        for code in (500, 502, 503, 504):
            for where in ("info", "cdn"):
                with self.subTest(code=code, where=where):
                    self.commit = self.a_repo("org/alpha", FILES | {"n": b"%d %s" % (code, where.encode())})
                    self.setUpHome()
                    self.gets_over(faults.status(code), where, files=FILES | {"n": b"%d %s" % (code, where.encode())}, times=1)

    def setUpHome(self):
        import shutil
        shutil.rmtree(self.home)
        self.home.mkdir()
        self.hub.heal()

    def test_too_many_requests_with_seconds_to_wait(self):
        for where in ("info", "cdn"):
            with self.subTest(where=where):
                self.setUpHome()
                self.assertGreaterEqual(self.gets_over(faults.status(429, {"Retry-After": "2"}), where).seconds, 2)

    def test_too_many_requests_with_a_date_and_a_wrong_clock(self):
        """The date is to be read against the answer's own Date: a server that lives in the year before does no harm."""
        year = 365 * 86400

        def change(answer, request):
            faults.status(429, {"Retry-After": formatdate(time.time() - year + 3, usegmt=True)})(answer, request)
            faults.clock_skew(-year)(answer, request)
        seconds = self.gets_over(change).seconds
        self.assertGreaterEqual(seconds, 1.5)
        self.assertLess(seconds, 20)

    def test_rate_limit_headers(self):
        self.assertGreaterEqual(self.gets_over(faults.status(429, {"RateLimit": '"resolvers";r=0;t=2', "RateLimit-Policy": '"fixed window";"resolvers";q=1;w=2'})).seconds, 2)

    def test_a_connection_reset_in_the_middle(self):
        self.gets_over(faults.reset_after(1_000_000), times=2)

    def test_a_connection_reset_in_the_middle_of_a_range_keeps_what_came(self):
        self.gets_over(faults.reset_after(20_000_000), **self.with_large())
        self.assertLess(self.hub.cdn.served_bytes, len(LARGE) + 12_000_000, "what came before the reset came again")

    def test_a_connection_reset_before_the_answer(self):
        self.gets_over(faults.reset_after(-1), times=2)
        self.setUpHome()
        self.gets_over(faults.reset_after(-1), "info")

    def test_a_body_that_ends_early(self):
        self.gets_over(faults.truncate_after(1_000_000), times=2)

    def test_a_body_without_a_length_that_ends_early(self):
        self.gets_over(faults.truncate_without_length(1_000_000))

    def test_a_listing_that_ends_early(self):
        self.gets_over(faults.truncate_after(20), "tree")

    def test_a_body_that_stalls(self):
        self.gets_over(faults.stall_after(1_000_000), timeout=120)

    def test_one_wrong_bit_that_is_right_the_second_time(self):
        self.gets_over(faults.flip_byte(1_500_000))

    def test_one_wrong_bit_costs_one_piece_and_not_the_file(self):
        at, more = 40_000_000, self.with_large()

        def holds_it(request):
            first, _, last = (request.header("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
            return sha256(LARGE) in request.target and int(first) <= at <= int(last or at)
        self.gets_over(faults.flip_byte(at), **more | {"path": holds_it})
        # Nobody knows which piece is wrong: they come again from the first to the wrong one.
        self.assertLess(self.hub.cdn.served_bytes, len(LARGE) + at + 8_400_000, "good pieces came again")

    def test_another_etag_between_ranges_of_the_same_bytes(self):
        """Two machines behind one name may disagree on the ETag; the digest decides."""
        self.gets_over(faults.etag("another"), **self.with_large())

    def test_a_server_without_ranges(self):
        def change(answer, request):
            answer.headers.pop("Accept-Ranges", None)
            if answer.status == 206:
                answer.status, answer.body = 200, bytes(self.whole)
                answer.headers.pop("Content-Range", None)
        self.whole = LARGE
        self.gets_over(change, times=None, **self.with_large())

    def test_an_address_that_expired(self):
        self.gets_over(faults.status(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"))

    def test_a_name_in_content_disposition_is_not_believed(self):
        self.gets_over(faults.header("Content-Disposition", 'attachment; filename="../../../evil.safetensors"; filename*=UTF-8\'\'%2Fetc%2Fevil'), times=None)
        self.assert_nothing_outside()

    def test_a_clock_that_is_wrong_by_years(self):
        for origin in self.hub.origins:
            origin.fault(faults.clock_skew(-5 * 365 * 86400), method=None, times=None)
        self.pull()
        self.assert_pulled()

    def test_a_renamed_repository_keeps_the_name_that_was_asked_for(self):
        self.hub.renamed["old/name"] = "org/alpha"
        self.pull("old/name")
        self.assert_pulled(repo="old/name")

    def test_a_listing_of_many_pages(self):
        self.hub.page_size = 2
        self.pull()
        self.assert_pulled()

    def test_names_that_need_quoting(self):
        files = {"a b/ü%20#?.json": b"{}", "model+1.safetensors": SMALL, "[x]&y=z.txt": b"t"}
        self.commit = self.a_repo("org/alpha", files)
        self.pull()
        self.assert_pulled(files)

    def test_empty_files(self):
        files = {"empty.json": b"", "empty.safetensors": b"", "config.json": b"{}"}
        self.commit = self.a_repo("org/alpha", files)
        self.pull()
        self.assert_pulled(files)

    def test_many_small_resets(self):
        files = {f"part-{i:03}.bin": payloads.noise(i, 20_000) for i in range(150)}
        self.commit = self.a_repo("org/alpha", files)
        self.hub.cdn.fault(faults.resets_by_chance(0.05), times=None)
        self.pull()
        self.assert_pulled(files)


class PullRefuses(PullCase):
    """Faults that stay: a clear error, an exit status, nothing visible in any store, nothing outside; and afterwards a pull works."""

    def refuses(self, *words, what="org/alpha", code=FAILED, then=True, repo=None, **more):
        answer = self.pull(what, expect=code, timeout=120, **more)
        for word in words:
            self.assertIn(word, answer.said)
        self.assertNotIn("Traceback", answer.said)
        self.assert_nothing_visible(repo or "org/alpha")
        self.assert_nothing_outside()
        if then:
            self.hub.heal()
            self.pull()
            self.assert_pulled()
        return answer

    def always(self, change, where="cdn", path=WEIGHTS, method="GET"):
        (self.hub.cdn if where == "cdn" else self.hub.control).fault(change, path=path, method=method, times=None)

    def test_a_wrong_bit_every_time(self):
        self.always(faults.flip_byte(1_500_000))
        self.refuses("model.safetensors")

    def test_a_file_that_is_longer_than_listed(self):
        self.always(faults.longer(100))
        self.refuses("model.safetensors")

    def test_a_file_that_is_shorter_than_listed(self):
        self.always(faults.body(SMALL[:1000]))
        self.refuses("model.safetensors")

    def test_range_not_satisfiable(self):
        self.always(faults.status(416, {"Content-Range": f"bytes */{len(SMALL)}"}))
        self.refuses("model.safetensors")

    def test_a_content_length_that_is_another(self):
        self.always(faults.declared_length(10))
        self.refuses("model.safetensors")

    def test_a_small_file_of_other_bytes(self):
        self.always(faults.body(b'{"model_type":"evil!"}'), "hub", "/config.json")
        self.refuses("config.json")

    def test_a_body_without_an_end(self):
        self.always(faults.endless())
        self.refuses("model.safetensors")
        # No more than the size that was listed is worth waiting for.
        self.assertLess(self.hub.cdn.served_bytes, 40 * len(SMALL))

    def test_a_listing_without_an_end(self):
        self.always(faults.endless(), "hub", "/tree/")
        self.refuses()

    def test_a_listing_of_endless_pages(self):
        page = b"[" + b",".join(b'{"type":"file","oid":"%040x","size":1,"path":"f%d-PAGE"}' % (i, i) for i in range(1000)) + b"]"
        count = iter(range(10**9))

        def change(answer, request):
            n = next(count)
            answer.body = page.replace(b"PAGE", b"%d" % n)
            answer.headers["Link"] = f'<{self.hub.url}{request.path}?recursive=true&cursor={n}>; rel="next"'
        self.always(change, "hub", "/tree/")
        self.refuses()
        self.assertLess(next(count), 5000)

    def test_pages_that_lead_in_a_circle(self):
        def change(answer, request):
            answer.headers["Link"] = f'<{self.hub.url}{request.path}?recursive=true&cursor=0>; rel="next"'
        self.always(change, "hub", "/tree/")
        self.refuses()
        self.assertLess(len([r for r in self.hub.control.requests if "/tree/" in r.path]), 20)

    def test_a_next_page_on_another_host_gets_no_token_and_no_belief(self):
        other = self.a_hub()
        self.a_repo("org/alpha", {"evil.safetensors": SMALL[:5000]}, hub=other)
        self.hub.tokens["hf_secretOfThisTest"] = ()
        self.always(faults.header("Link", f'<{other.url}/api/models/org/alpha/tree/main?recursive=true>; rel="next"'), "hub", "/tree/")
        self.refuses(HF_TOKEN="hf_secretOfThisTest", then=False)
        self.assertFalse([r for r in other.requests if r.mentions("hf_secret")])

    def test_redirects_in_a_circle(self):
        def change(answer, request):
            faults.redirect(self.hub.url + request.target)(answer, request)
        self.always(change, "hub", "/api/models/", method=None)
        self.refuses()
        self.assertLess(len(self.hub.control.requests), 200)

    def test_a_download_that_redirects_in_a_circle(self):
        def change(answer, request):
            faults.redirect(self.hub.cdn.url + request.target)(answer, request)
        self.always(change)
        self.refuses("model.safetensors")

    def test_a_redirect_to_a_file_or_another_scheme(self):
        for location in ("file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x", "//", "http://", "javascript:0"):
            with self.subTest(location=location):
                self.always(faults.redirect(location), "hub", "/resolve/", method=None)
                self.refuses(then=False)
                self.hub.heal()

    def test_answers_that_are_not_json(self):
        for text in (b"", b"<html>", b"[", b"null", b"{}", b'[{"path":1}]', b'[{"type":"file"}]', b"[" * 100_000, b'"' + b"a" * 100_000):
            with self.subTest(text=text[:20]):
                self.always(faults.body(text), "hub", "/tree/")
                self.refuses(then=False, code=(FAILED, 2))  # 2: rows that name no file leave no file to choose
                self.hub.heal()

    def test_errors_name_what_to_do(self):
        self.a_repo("org/private", FILES, private=True)
        self.a_repo("org/gated", FILES, gated=True)
        self.a_repo("org/disabled", FILES, disabled=True)
        self.hub.tokens = {"hf_fine": ()}
        self.refuses("org/nothing", what="org/nothing", code=None, then=False)
        self.refuses("org/private", what="org/private", code=None, then=False)
        answer = self.refuses("org/gated", f"{self.hub.url}/org/gated", what="org/gated", code=PERMISSION, then=False)
        self.assertIn("token", answer.said.lower())
        self.refuses(f"{self.hub.url}/org/gated", what="org/gated", code=PERMISSION, then=False, HF_TOKEN="hf_fine")
        self.refuses("disabled", what="org/disabled", code=None, then=False)
        self.refuses("token", what="org/alpha", code=PERMISSION, then=False, HF_TOKEN="hf_wrong")
        self.refuses("nobranch", what="org/alpha@nobranch", then=False)
        self.refuses("no/file.gguf", what="hf:org/alpha/no/file.gguf", code=None, then=False)

    def test_ids_that_lead_elsewhere(self):
        before = len(self.hub.requests)
        for what in ("../../etc", "org/..", "org/a--b", "hf:org/alpha@../main", "hf:org/alpha@main/../../x", "org/al\npha", "hf:-/x", "/etc/passwd", "ollama:../x", "ollama:a/b/c/d/e:f",
                     "http://127.0.0.1/x", f"{self.hub.url}/x", f"{self.hub.url}/x#sha256=12", "hf:", "", "org/alpha\\x"):
            with self.subTest(what=what):
                self.pull(what, expect=2)
        self.assertEqual(before, len(self.hub.requests), "a malformed id reached the server")

    def test_waits_that_are_too_long_are_told_and_not_waited(self):
        self.always(faults.status(429, {"Retry-After": "86400"}), "hub", "/api/models/")
        answer = self.refuses(code=None)
        self.assertLess(answer.seconds, 30)

    def test_server_errors_that_stay(self):
        self.always(faults.status(503, {"Retry-After": "0"}))
        self.refuses("model.safetensors")

    def test_a_server_that_is_not_a_hub(self):
        self.always(faults.status(200, {"Content-Type": "text/html"}, b"<html>welcome to the hotel</html>"), "hub", "", method=None)
        self.refuses(then=False)


class PullBelievesNoName(PullCase):
    """A hostile hub's listing cannot write outside the store."""

    def refused_row(self, path, **more):
        row = {"type": "file", "oid": "0" * 40, "size": 4, "path": path} | more
        self.commit = self.hub.repos["org/alpha"].commit({"config.json": b"{}", "model.safetensors": SMALL}, hostile_rows=[row])
        before = {str(p) for p in self.base.rglob("*")}
        answer = self.pull(expect=None, timeout=60)
        self.assertNotEqual(OK, answer.code, f"{path!r} was believed")
        self.assert_nothing_visible()
        self.assert_nothing_outside()
        self.assertNotIn("\x1b[31m", answer.said)
        self.assertFalse(any("evil" in p for p in {str(p) for p in self.base.rglob("*")} - before))

    def test_paths(self):
        for path in ("../evil", "../../../../../../tmp/evil", "/tmp/evil", "a/../../evil", "a//evil", "./evil", "a/./evil", "..", ".", "", "a/", "evil\0x", "..\\evil", "a\\..\\..\\evil",
                     "C:\\evil", "C:/evil", "\\\\host\\evil", "evil\n", "\x1b[31mevil", "a" * 300, "/".join(["a"] * 3000)):
            with self.subTest(path=path[:40]):
                self.refused_row(path)

    def test_digests_and_sizes(self):
        for more in ({"oid": "../../evil"}, {"oid": "0" * 39}, {"oid": 7}, {"size": -1}, {"size": 2**63}, {"size": 2**64}, {"size": 1e300}, {"size": "4"}, {"size": None},
                     {"lfs": {"oid": "../../../evil", "size": 4}}, {"lfs": {"oid": "g" * 64, "size": 4}}, {"lfs": {"oid": "0" * 64, "size": -4}}, {"lfs": {"oid": "0" * 64, "size": 2**62}}):
            with self.subTest(more=more):
                self.refused_row("x.safetensors", **more)

    def test_one_name_twice_or_a_name_below_a_file(self):
        for path in ("config.json", "config.json/evil"):
            with self.subTest(path=path):
                self.refused_row(path)

    def test_a_commit_that_is_no_commit(self):
        for sha in ("../../evil", "main", "0" * 39, "0" * 41, "G" * 40, 7, None):
            with self.subTest(sha=sha):
                import json

                def change(answer, _, sha=sha):
                    value = json.loads(bytes(answer.body))
                    if isinstance(value, dict) and "sha" in value:
                        answer.body = json.dumps(value | {"sha": sha}).encode()
                    answer.headers["X-Repo-Commit"] = str(sha)
                self.hub.control.fault(change, path="/api/models/", method=None, times=None)
                answer = self.pull(expect=None)
                self.assertNotEqual(OK, answer.code)
                self.assert_nothing_visible()
                self.hub.heal()

    def test_more_bytes_than_the_disk_has(self):
        row = {"type": "file", "oid": "0" * 40, "size": 2**43, "path": "x.safetensors", "lfs": {"oid": "0" * 64, "size": 2**43, "pointerSize": 130}}
        self.commit = self.hub.repos["org/alpha"].commit({"config.json": b"{}"}, hostile_rows=[row])
        answer = self.pull(expect=SPACE)
        self.assertIn("x.safetensors" if "x.safetensors" in answer.said else "space", answer.said)
        self.assert_nothing_visible()
        self.assertEqual(0, self.hub.cdn.served_bytes)


if __name__ == "__main__":
    unittest.main()
