"""`mlxcache mount`: what tools see of frozen models through the kernel, while vault and mount change. Needs /dev/fuse and root."""
import errno
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

BINARY = os.environ.get("MLXCACHE_BINARY", "")


def why_not():
    if not sys.platform.startswith("linux"):
        return "mount is for Linux"
    if os.geteuid() != 0:
        return "not root: tests of mounting did not run"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as problem:
        return f"/dev/fuse cannot be opened ({problem.strerror}): tests of mounting did not run"
    return None


def mounted(path):
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


@unittest.skipIf(why_not(), why_not())
class Mounted(unittest.TestCase):
    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="mlxcache-mount-", dir="/var/tmp")).resolve()
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.models = self.top / "models"
        self.at = self.top / "mnt"
        self.at.mkdir()
        self.env = {**os.environ, "HOME": str(self.top), "MLXCACHE_HOME": str(self.top / "state")}
        self.running = []
        self.addCleanup(self.end)
        chance = random.Random(1)
        floats = struct.pack("<600000f", *(chance.gauss(0, 0.02) for _ in range(600_000)))
        header = json.dumps({"w": {"dtype": "F32", "shape": [600, 1000], "data_offsets": [0, len(floats)]}}).encode()
        header += b" " * (-len(header) % 8)
        self.weights = struct.pack("<Q", len(header)) + header + floats
        self.noise = chance.randbytes(1_000_001)

    def end(self):
        subprocess.run(["umount", "-l", str(self.at)], capture_output=True)
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def run_it(self, *words, expect=0, env=None):
        done = subprocess.run([BINARY, *words], env=env or self.env, capture_output=True, text=True, cwd=self.top, timeout=300)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def freeze(self, name, files):
        folder = self.models / name
        for path, content in {**files, "zeros": bytes(400_000)}.items():  # so that it is worth the while
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        self.run_it("freeze", str(folder), "--keep", "--apply", "--yes")
        return folder

    def mount(self, *words):
        process = subprocess.Popen([BINARY, "mount", str(self.at), "--json", *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        line = process.stdout.readline()
        if not line.endswith("}\n"):
            self.fail(line + process.stdout.read() + process.stderr.read())
        self.assertEqual(json.loads(line)["event"], "mounted")
        return process

    def shown(self, folder):
        return self.at / "folders" / str(folder).lstrip("/")

    def stop(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(mounted(self.at))

    def test_tools_see_the_very_files(self):
        folder = self.freeze("one", {"model.safetensors": self.weights, "sub/noise.bin": self.noise, "config.json": b"{}", "empty": b""})
        tuned = bytearray(self.weights)
        for i in range(1000, len(tuned), 97):
            tuned[i] ^= 1
        second = self.models / "two"
        second.mkdir()
        (second / "model.safetensors").write_bytes(tuned)
        with open(second / "sparse", "wb") as file:
            file.truncate(1 << 30)
            file.seek(3 << 28)
            file.write(self.noise[:5000])
        os.symlink("../one/config.json", second / "link")
        os.link(second / "model.safetensors", second / "again")
        os.chmod(second / "model.safetensors", 0o640)
        os.setxattr(second / "model.safetensors", "user.origin", b"here")
        self.run_it("freeze", str(second), "--keep", "--apply", "--yes")
        process = self.mount()
        for path in ("model.safetensors", "sub/noise.bin", "config.json", "empty"):
            self.assertEqual((self.shown(folder) / path).read_bytes(), (folder / path).read_bytes(), path)
        at = self.shown(second)
        self.assertEqual(sorted(os.listdir(at)), ["again", "link", "model.safetensors", "sparse"])
        was, now = os.stat(second / "model.safetensors"), os.stat(at / "model.safetensors")
        for member in ("st_size", "st_mode", "st_mtime_ns", "st_nlink"):
            self.assertEqual(getattr(now, member), getattr(was, member), member)
        self.assertEqual(os.stat(at / "again").st_ino, now.st_ino)
        self.assertEqual(os.readlink(at / "link"), "../one/config.json")
        self.assertEqual((at / "link").read_bytes(), b"{}")
        self.assertEqual(os.getxattr(at / "model.safetensors", "user.origin"), b"here")
        with open(at / "model.safetensors", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            chance = random.Random(2)
            for _ in range(300):
                begin = chance.randrange(len(tuned))
                end = begin + chance.randrange(70_000)
                self.assertTrue(mapped[begin:end] == tuned[begin:end], begin)
            self.assertEqual(hashlib.sha256(mapped).digest(), hashlib.sha256(tuned).digest())
        with open(at / "sparse", "rb") as file:
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_DATA), 3 << 28)
            self.assertEqual(os.pread(file.fileno(), 6000, (3 << 28) - 500), bytes(500) + self.noise[:5000] + bytes(500))
            self.assertEqual(os.fstat(file.fileno()).st_size, 1 << 30)
        self.assertLess(os.stat(at / "sparse").st_blocks * 512, 1 << 20)
        for change in (lambda: os.open(at / "new", os.O_CREAT | os.O_WRONLY), lambda: os.unlink(at / "again"), lambda: os.open(at / "again", os.O_RDWR),
                       lambda: os.chmod(at / "again", 0o777), lambda: os.mkdir(at / "folder")):
            with self.assertRaises(OSError) as raised:
                change()
            self.assertEqual(raised.exception.errno, errno.EROFS)
        with self.assertRaises(FileNotFoundError):
            os.stat(at / "nothing")
        self.stop(process, signal.SIGINT)
        self.assertEqual(os.listdir(self.at), [])

    def test_several_readers_at_once(self):
        folder = self.freeze("one", {"model.safetensors": self.weights, "noise.bin": self.noise})
        process = self.mount("--cache", "1M")
        wrong = []

        def read(seed):
            chance = random.Random(seed)
            for _ in range(60):
                name, content = chance.choice([("model.safetensors", self.weights), ("noise.bin", self.noise)])
                begin = chance.randrange(len(content))
                fd = os.open(self.shown(folder) / name, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                n = chance.randrange(200_000)
                if os.pread(fd, n, begin) != content[begin:begin + n]:
                    wrong.append((name, begin, n))
                os.close(fd)

        def guarded(seed):
            try:
                read(seed)
            except OSError as problem:
                wrong.append(problem)

        threads = [threading.Thread(target=guarded, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.stop(process)

    def test_the_vault_changes_below_it(self):
        first = self.freeze("one", {"noise.bin": self.noise})
        process = self.mount()
        file = open(self.shown(first) / "noise.bin", "rb")
        self.addCleanup(file.close)
        self.assertEqual(file.read(10), self.noise[:10])
        second = self.freeze("two", {"model.safetensors": self.weights})
        self.run_it("vault", "rm", str(first), "--apply")
        self.run_it("vault", "gc", "--apply")
        self.assertEqual((self.shown(second) / "model.safetensors").read_bytes(), self.weights, "frozen after it was mounted")
        self.assertEqual(sorted(os.listdir(self.shown(self.models))), ["two"])
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        self.assertEqual(file.read(), self.noise, "open when it was collected")
        # Still open: the folder is free at once, and the reader goes on.
        process.send_signal(signal.SIGTERM)
        self.wait_until_gone(process)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        self.assertEqual(file.read(), self.noise, "open when it was unmounted")
        self.assertIsNone(process.poll())
        file.close()
        self.assertEqual(process.wait(60), 0)

    def wait_until_gone(self, process):
        while mounted(self.at):
            if process.poll() is not None:
                self.fail("it ended while a file was open")
            threading.Event().wait(0.02)

    def test_a_mount_whose_program_was_killed(self):
        folder = self.freeze("one", {"noise.bin": self.noise})
        process = self.mount()
        process.kill()
        process.wait()
        with self.assertRaises(OSError) as raised:
            os.listdir(self.at)
        self.assertEqual(raised.exception.errno, errno.ENOTCONN)
        process = self.mount()
        self.assertEqual((self.shown(folder) / "noise.bin").read_bytes(), self.noise)
        process.kill()
        process.wait()
        self.run_it("mount", "--unmount", str(self.at))
        self.assertEqual(os.listdir(self.at), [])
        self.assertIn("nothing of ours", self.run_it("mount", "--unmount", str(self.at), expect=4))
        process = self.mount()
        subprocess.run(["umount", "-l", str(self.at)], check=True)
        self.assertEqual(process.wait(60), 0, "somebody unmounted it")

    def test_places_that_are_not_free(self):
        self.freeze("one", {"noise.bin": self.noise})
        (self.at / "something").touch()
        self.assertIn("not empty", self.run_it("mount", str(self.at), expect=2))
        (self.at / "something").unlink()
        self.run_it("mount", str(self.top / "no-such-folder"), expect=4)
        process = self.mount()
        self.assertIn("already", self.run_it("mount", str(self.at), expect=5))
        self.stop(process)

    def test_damage_costs_what_it_hits(self):
        bad = self.freeze("bad", {"noise.bin": self.noise})
        good = self.freeze("good", {"model.safetensors": self.weights})
        for pack in (self.top / "state/vault/packs").iterdir():
            content = bytearray(pack.read_bytes())
            place = content.find(self.noise[400_000:400_050])
            if place > 0:
                content[place] ^= 1
                pack.write_bytes(content)
        process = self.mount()
        self.assertEqual((self.shown(good) / "model.safetensors").read_bytes(), self.weights)
        with open(self.shown(bad) / "noise.bin", "rb") as file:
            with self.assertRaises(OSError) as raised:
                os.pread(file.fileno(), 100, 400_000)
            self.assertEqual(raised.exception.errno, errno.EIO)
            self.assertEqual(os.pread(file.fileno(), 100, 900_000), self.noise[900_000:900_100])
        self.stop(process)

    def test_without_root(self):
        folder = self.freeze("one", {"noise.bin": self.noise})
        for path in [self.top, *self.top.rglob("*")]:
            os.chown(path, 65534, 65534)
        as_nobody = [shutil.which("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", BINARY]
        done = subprocess.run([*as_nobody, "mount", str(self.at)], env={**self.env, "PATH": "/nowhere"}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("apt install fuse3", done.stderr)
        if shutil.which("fusermount3") is None:
            self.skipTest("fusermount3 is not installed: mounting without root was not tried")
        look = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if os.stat("/dev/fuse").st_mode & 0o006 != 0o006:
            # A device for everybody, as distributions have it, in a mount namespace of its own.
            device = self.top / "fuse"
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
            os.chmod(device, 0o666)
            as_nobody = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/fuse && exec "$@"', str(device), *as_nobody]
        process = subprocess.Popen([*as_nobody, "mount", str(self.at), "--json"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        line = process.stdout.readline()
        if not line.endswith("}\n"):
            self.fail(line + process.stderr.read())
        self.assertEqual(json.loads(line)["models"], 1)
        self.assertNotEqual(os.stat(f"/proc/{process.pid}").st_uid, 0)
        look = ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", *look]
        asked = subprocess.run([*look, "sha256sum", str(self.shown(folder) / "noise.bin")], capture_output=True, text=True)
        self.assertTrue(asked.stdout.startswith(hashlib.sha256(self.noise).hexdigest()), asked.stderr)
        refused = subprocess.run(["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", "ls", str(self.at)], capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0, "nobody else may look in, not even root, unless the mount is for all users")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(mounted(self.at))


if __name__ == "__main__":
    unittest.main()
