"""What the cross-room suites share: a volume or a plain reason why there is none, a home on it, the binary under test."""
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import trees
import volumes
from mlxcache import Mlxcache

BINARY = os.environ.get("MLXCACHE_BINARY", "")
STRICT = os.environ.get("CI") == "true"  # in CI a missing loop device or tool is a failure, not a shrug


class Folder:
    """A plain folder of this machine's own file system, in place of a loop-mounted one."""
    kind = "folder"

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="mlxcache-test-", dir=os.environ.get("MLXCACHE_TEST_DISK", "/var/tmp")))
        os.chmod(self.path, 0o755)
        self.reflink = os.statvfs(self.path) is not None and _clones(self.path)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def used_bytes(self):
        return None  # others write here too

    def sync(self):
        os.sync()


def _clones(folder):
    """Whether this folder's volume can clone: by trying."""
    if sys.platform == "darwin":
        return True  # APFS, on every Mac that runs this suite
    import fcntl
    a, b = folder / ".a", folder / ".b"
    a.write_bytes(b"x" * 4096)
    try:
        with open(a, "rb") as source, open(b, "wb") as target:
            fcntl.ioctl(target, 0x40049409, source.fileno())  # FICLONE
        return True
    except OSError:
        return False
    finally:
        a.unlink()
        b.unlink(missing_ok=True)


class Case(unittest.TestCase):
    maxDiff = None

    def volume(self, kind, **more):
        """Enters a volume for the rest of this test; where there can be none, fails in CI and says so elsewhere."""
        made = Folder() if kind == "folder" else volumes.Volume(kind, **more)
        try:
            made.__enter__()
        except volumes.Unavailable as why:
            self.unavailable(f"{kind}: {why}")
        self.addCleanup(made.__exit__, None, None, None)
        return made

    def unavailable(self, why):
        if STRICT:
            self.fail(f"cannot run here, and CI must: {why}")
        print(f"\nNOT RUN: {self.id()}: {why}", file=sys.stderr)
        self.skipTest(why)

    def mlxcache(self, home, env=None, uid=None):
        self.assertTrue(BINARY and os.access(BINARY, os.X_OK), f"MLXCACHE_BINARY does not name the binary under test: {BINARY!r}")
        return Mlxcache(BINARY, home, env, uid)

    def assert_same(self, before, after, view=lambda name: name, ignore=lambda path: False, why=""):
        lines = trees.differences(before, after, view, ignore)
        self.assertFalse(lines, f"{why}\n" + "\n".join(lines[:20]))

    def assert_all_bytes_as_before(self, before, *roots, why=""):
        """Every path of `before` still opens with the bytes it had, and nothing new lies beside."""
        after = {path: trees.Name("file", sha256=trees.sha256_of(path), size=os.stat(path).st_size) if name.kind == "link" and os.path.isfile(path) else name
                 for path, name in trees.snapshot(*roots).items()}
        wanted = {path: trees.Name("file", sha256=name.sha256, size=name.size) for path, name in before.items() if name.kind == "file"}
        found = {path: trees.Name("file", sha256=after[path].sha256, size=after[path].size) if path in after else None for path in wanted}
        wrong = [path for path in wanted if found[path] != wanted[path]]
        self.assertFalse(wrong, f"{why}: bytes differ or are missing: {wrong[:10]}")
        extra = sorted(set(after) - set(before))
        self.assertFalse(extra, f"{why}: left behind: {extra[:10]}")
