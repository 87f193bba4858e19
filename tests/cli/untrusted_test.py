"""Result files from people who are not trusted: damaged at random, but always in the same way, and read by the built
command. An answer or one line; exit code 0 or 2; no crash, and an end within the guard's bounds."""

import random
import resource
import struct
import subprocess

import cli
from cli import run

COMMANDS = (("show",), ("show", "--ranks"), ("export", "--format", "csv"), ("export", "--format", "json", "--samples"),
            ("show", "--quantiles"), ("export", "--format", "ocptv"), ("network",))
BOUNDS = ("--max-time", "5s", "--max-memory", "1GiB")


def lookup3(data):
    """The checksum of HDF5's metadata: hashlittle() of Bob Jenkins' lookup3 (2006), the start value 0."""
    mask = 0xffffffff

    def rotated(x, k):
        return (x << k | x >> (32 - k)) & mask

    length = len(data)
    a = b = c = (0xdeadbeef + length) & mask
    at = 0
    while length - at > 12:
        x, y, z = struct.unpack_from("<III", data, at)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        for k, mixed in ((4, "a"), (6, "b"), (8, "c"), (16, "a"), (19, "b"), (4, "c")):
            if mixed == "a":
                a = (a - c) & mask ^ rotated(c, k)
                c = (c + b) & mask
            elif mixed == "b":
                b = (b - a) & mask ^ rotated(a, k)
                a = (a + c) & mask
            else:
                c = (c - b) & mask ^ rotated(b, k)
                b = (b + a) & mask
        at += 12
    if at == length:
        return c
    x, y, z = struct.unpack("<III", data[at:].ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    for k, mixed in ((14, "c"), (11, "a"), (25, "b"), (16, "c"), (4, "a"), (14, "b"), (24, "c")):
        if mixed == "c":
            c = ((c ^ b) - rotated(b, k)) & mask
        elif mixed == "a":
            a = ((a ^ c) - rotated(c, k)) & mask
        else:
            b = ((b ^ a) - rotated(a, k)) & mask
    return c


def object_headers(data):
    """(begin, begin of the messages, end) of HDF5's object headers of version 2, each of which a checksum follows."""
    found = []
    at = data.find(b"OHDR\x02")
    while at >= 0:
        flags = data[at + 5]
        front = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(data[at + front:at + front + width], "little")
        begin, end = at + front + width, at + front + width + size
        if end + 4 <= len(data) and lookup3(data[at:end]) == int.from_bytes(data[end:end + 4], "little"):
            found.append((at, begin, end))
        at = data.find(b"OHDR\x02", at + 1)
    return found


class Untrusted(cli.ExampleTestCase):
    def try_file(self, data, command, what):
        path = self.folder / "spoilt.h5"
        path.write_bytes(data)
        result = run(command[0], path, *command[1:], *BOUNDS)
        with self.subTest(what=what, command=command):
            self.assertIn(result.returncode, (0, 2), result.stderr)
            lines = result.stderr.splitlines()
            self.assertEqual(len(lines), 1 if result.returncode else 0, lines)
            if lines:
                self.assertRegex(lines[0], r"^rackproof: .*spoilt\.h5")
                self.assertEqual(result.stdout, "")
            self.assertNotIn("\x1b", result.stdout + result.stderr)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["spoilt.h5"])
        return result.returncode

    def test_files_that_were_spoilt_at_random(self):
        draw = random.Random(20261122)
        refused = 0
        for name in ("example.h5", "pairs.h5", "broken.h5.part"):
            whole = (self.examples / name).read_bytes()
            for i in range(20):
                data = bytearray(whole)
                if i % 4 == 3:
                    del data[draw.randrange(len(data)):]
                for _ in range(1 << i % 6):
                    if data:
                        data[draw.randrange(len(data))] = draw.randrange(256)
                refused += self.try_file(bytes(data), COMMANDS[i % len(COMMANDS)], (name, i)) == 2
        self.assertGreater(refused, 20)

    def test_metadata_that_were_changed_with_their_checksums(self):
        draw = random.Random(20261123)
        codes = {0: 0, 2: 0}
        for name in ("example.h5", "hostile.h5"):
            whole = (self.examples / name).read_bytes()
            headers = object_headers(whole)
            self.assertGreater(len(headers), 20)
            for i in range(45):
                data = bytearray(whole)
                for _ in range(1 + i % 3):
                    start, begin, end = draw.choice(headers)
                    at = draw.randrange(begin, end)
                    data[at] = draw.choice((0, 1, 0x7f, 0x80, 0xff, data[at] ^ 1 << draw.randrange(8)))
                    data[end:end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
                codes[self.try_file(bytes(data), COMMANDS[i % len(COMMANDS)], (name, i))] += 1
        # The change passed the checksum, or all would be refused; and most of them matter.
        self.assertGreater(codes[0], 5)
        self.assertGreater(codes[2], 20)

    def test_metadata_that_crash_hdf5(self):
        """Found by tests/fuzz: what HDF5 1.10.8 believes, though nothing but the checksum is right, and crashes on. Places
        are those of the HDF5 File Format Specification 3.0 with addresses of 8 bytes."""
        whole = (self.examples / "example.h5").read_bytes()

        def spoilt(signature, size, changes):
            data = bytearray(whole)
            at = data.find(signature)
            while at >= 0:
                if lookup3(bytes(data[at:at + size])) == int.from_bytes(data[at + size:at + size + 4], "little"):
                    for place, value in changes:
                        data[at + place:at + place + len(value)] = value
                    data[at + size:at + size + 4] = lookup3(bytes(data[at:at + size])).to_bytes(4, "little")
                at = data.find(signature, at + 1)
            self.assertNotEqual(data, whole)
            return bytes(data)

        # III.G: the width of a fractal heap's doubling table; III.A.2: how many records a B-tree has.
        self.assertEqual(self.try_file(spoilt(b"FRHP\0", 142, [(110, b"\0\0")]), ("show",), "width"), 2)
        self.assertEqual(self.try_file(spoilt(b"BTHD\0", 34, [(24, b"\xff\xff\xff\xff")]), ("show",), "records"), 2)
        # III.E: the number of an object in a global heap, which an attribute of text refers to.
        data = bytearray(whole)
        start, begin, end = next(h for h in object_headers(whole) if b"schema_name" in whole[h[1]:h[2]])
        heap = whole.find(b"GCOL\1").to_bytes(8, "little")
        reference = data.find(heap, begin, end)
        while reference >= 0:
            data[reference + 8:reference + 12] = b"\xf0\xe2\0\0"
            reference = data.find(heap, reference + 1, end)
        data[end:end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
        self.assertNotEqual(bytes(data), whole)
        self.assertEqual(self.try_file(bytes(data), ("export", "--format", "json"), "text of an attribute"), 2)
        # Of several files, the one is named.
        result = run("export", self.examples / "second.h5", self.folder / "spoilt.h5", "--format", "csv", *BOUNDS)
        self.assert_refused(result, 2, "spoilt.h5': is damaged")
        self.assertNotIn("second.h5", result.stderr)

    def test_recover_of_a_spoilt_file_leaves_nothing(self):
        draw = random.Random(7)
        whole = (self.examples / "broken.h5.part").read_bytes()
        for i in range(10):
            data = bytearray(whole)
            for _ in range(1 << i % 8):
                data[draw.randrange(len(data))] = draw.randrange(256)
            path = self.folder / "spoilt.h5.part"
            path.write_bytes(data)
            result = run("recover", path, *BOUNDS)
            self.assertIn(result.returncode, (0, 2), result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1 if result.returncode else 0, result.stderr)
            left = {p.name for p in self.folder.iterdir()} - {"spoilt.h5.part"}
            self.assertEqual(left, set() if result.returncode else {"spoilt.h5"})
            for name in left:
                self.assertEqual(run("show", self.folder / name).returncode, 0)
                (self.folder / name).unlink()

    def test_little_memory_and_time_are_enough_for_small_files(self):
        result = run("show", self.examples / "example.h5", "--max-memory", "64MiB", "--max-time", "5s")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_a_hard_limit_of_the_system_is_kept(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))

        result = subprocess.run([cli.RACKPROOF, "show", self.examples / "example.h5"], capture_output=True, text=True,
                                preexec_fn=limit, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))


if __name__ == "__main__":
    cli.main()
