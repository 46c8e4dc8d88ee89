"""Loop-mounted file systems for tests and benchmarks: an image file, a loop device, a mount, and all three gone at the end."""
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

# How each is made. Sizes are what the smallest useful image of that kind needs; the files are sparse.
KINDS = {
    "btrfs": {"mkfs": ["mkfs.btrfs", "-q", "-m", "single", "-d", "single"], "mib": 400, "reflink": True},
    "xfs": {"mkfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "mib": 400, "reflink": True},
    "ext4": {"mkfs": ["mkfs.ext4", "-q", "-F", "-b", "4096"], "mib": 400, "reflink": False},
    "ext4-casefold": {"mkfs": ["mkfs.ext4", "-q", "-F", "-O", "casefold", "-E", "encoding=utf8"], "mib": 64, "reflink": False},
}


class Unavailable(Exception):
    """This machine cannot make such a volume; says why."""


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more)


class Volume:
    """A fresh file system of `kind`, mounted at .path while the `with` block lasts."""

    def __init__(self, kind, mib=None, options=""):
        self.kind = kind
        self.mib = mib or KINDS[kind]["mib"]
        self.options = options
        self.reflink = KINDS[kind]["reflink"]
        self.path = None
        self._folder = None

    def __enter__(self):
        mkfs = KINDS[self.kind]["mkfs"]
        if os.name != "posix" or os.uname().sysname != "Linux":
            raise Unavailable("loop mounts need Linux")
        if os.geteuid() != 0:
            raise Unavailable("loop mounts need root")
        if not os.path.exists("/dev/loop-control"):
            raise Unavailable("no /dev/loop-control")
        if not shutil.which(mkfs[0]):
            raise Unavailable(f"{mkfs[0]} is not installed")
        # /var/tmp is on a disk; a tmpfs cannot always back a loop device, and benchmarks want a disk under them.
        self._folder = Path(tempfile.mkdtemp(prefix="mlxcache-volume-", dir=os.environ.get("MLXCACHE_TEST_DISK", "/var/tmp")))
        os.chmod(self._folder, 0o755)  # mkdtemp's 0700 would hide the mount from ordinary users
        image = self._folder / "image"
        self.path = self._folder / "mount"
        try:
            with open(image, "wb") as file:
                file.truncate(self.mib << 20)
            made = subprocess.run([*mkfs, str(image)], capture_output=True, text=True)
            if made.returncode != 0:
                raise Unavailable(f"{' '.join(mkfs)}: {made.stderr.strip()}")
            self.path.mkdir()
            mounted = subprocess.run(["mount", "-o", "loop" + ("," + self.options if self.options else ""), str(image), str(self.path)],
                                     capture_output=True, text=True)
            if mounted.returncode != 0:
                raise Unavailable(f"mount {self.kind}: {mounted.stderr.strip()}")
            os.chmod(self.path, 0o755)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            raise
        return self

    def __exit__(self, *_):
        if self._folder is None:
            return
        for attempt in range(20):
            done = subprocess.run(["umount", str(self.path)], capture_output=True, text=True)
            if done.returncode == 0:
                break
            subprocess.run(["sleep", "0.1"])
        else:
            subprocess.run(["umount", "-l", str(self.path)])
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def remount(self, options):
        run("mount", "-o", "remount," + options, str(self.path))

    def sync(self):
        run("sync", "-f", str(self.path))

    def used_bytes(self):
        """What the volume says is taken, everything written out first."""
        self.sync()
        if self.kind == "btrfs":
            # statfs lags behind on btrfs until dropped extents' transactions are committed and cleaned up.
            run("btrfs", "filesystem", "sync", str(self.path))
            subprocess.run(["btrfs", "subvolume", "sync", str(self.path)], capture_output=True)
        facts = os.statvfs(self.path)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


_FS_IOC_FIEMAP = 0xC020660B
_EXTENTS = 512
_LAST, _UNSETTLED, _INLINE, _SHARED = 0x1, 0x2 | 0x4, 0x200, 0x2000


def extents(path):
    """[(logical, physical, length, shared)] of a file, from FIEMAP with FIEMAP_FLAG_SYNC. Inline extents have physical None."""
    found = []
    start = 0
    with open(path, "rb") as file:
        while True:
            buffer = bytearray(32 + 56 * _EXTENTS)
            struct.pack_into("=QQIIII", buffer, 0, start, 0xFFFFFFFFFFFFFFFF, 1, 0, _EXTENTS, 0)
            fcntl.ioctl(file, _FS_IOC_FIEMAP, buffer)
            count = struct.unpack_from("=I", buffer, 20)[0]
            last = count == 0
            for i in range(count):
                logical, physical, length = struct.unpack_from("=QQQ", buffer, 32 + 56 * i)
                flags = struct.unpack_from("=I", buffer, 32 + 56 * i + 40)[0]
                found.append((logical, None if flags & (_UNSETTLED | _INLINE) else physical, length, bool(flags & _SHARED)))
                start = logical + length
                last = last or bool(flags & _LAST)
            if last:
                return found


def blocks_of(paths):
    """Bytes of distinct disk blocks behind these files: what they really take, blocks that several refer to counted once."""
    allocated = listed = union = end = 0
    runs = []
    seen = set()
    for path in paths:
        stat = os.lstat(path)
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        allocated += stat.st_blocks * 512
        runs += [(physical, physical + length) for _, physical, length, _ in extents(path) if physical is not None]
    for begin, stop in sorted(runs):
        listed += stop - begin
        if stop > end:
            union += stop - max(begin, end)
            end = stop
    return allocated - (listed - union)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _CASEFOLD = 0x80086601, 0x40086602, 0x40000000


def make_casefolded(folder):
    """chattr +F: names in this (empty) folder differ by more than case."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        flags = struct.unpack("=l", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, struct.pack("=l", 0)))[0]
        fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("=l", flags | _CASEFOLD))
    except OSError as error:
        raise Unavailable(f"casefold: {error}") from error
    finally:
        os.close(fd)
