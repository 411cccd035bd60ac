"""Mutated inputs by the million through a sanitized build: ci/mutate.py [TARGET] [--count N] [--seed S] [--jobs J].

What is mutated is generated here from the seed: for reader and capture bare ITCH, pcap and pcapng files with messages
of every type, plain and in gzip; for the others what they read. An input is a function of the seed and its number, so
a failure comes back with the command that is printed; the input itself is left in build/found.
"""

import argparse
import itertools
import random
import subprocess
import sys
import time
from pathlib import Path

from numi_sim.model import capture, itch, mold, packet, tape

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutate"
TARGETS = [
    "reader",
    "capture",
    "itch",
    "mold",
    "soup",
    "packet",
    "book",
    "tape",
    "soup_client",
    "merge",
    "recover",
    "feed",
    "glimpse",
]
SESSION = b"NUMI000001"
NOON_NS = 1_700_000_000_000_000_000


def messages(rng: random.Random, count: int) -> list[bytes]:
    """Messages of all types in turn, anything in their fields, few instruments."""
    letters = sorted(itch.LAYOUTS)
    rng.shuffle(letters)
    out = []
    for index in range(count):
        letter = letters[index % len(letters)]
        body = rng.randbytes(itch.LAYOUTS[letter].length - 3)
        out.append(letter + rng.randrange(4).to_bytes(2, "big") + body)
    return out


def payloads(rng: random.Random) -> list[bytes]:
    """Mold packets of a session: messages, a heartbeat, a jump, a repetition, the end."""
    chunks = [messages(rng, rng.randrange(1, 9)) for _ in range(4)]
    out, at = [], 1
    for chunk in chunks:
        out.append(mold.encode(SESSION, at, chunk))
        at += len(chunk)
    jumped = mold.encode(SESSION, at + 5, [*messages(rng, 2), b"?"])
    return [*out, mold.heartbeat(SESSION, at), jumped, out[1], mold.end_of_session(SESSION, at + 8)]


def frames(rng: random.Random) -> list[bytes]:
    """The packets over IPv4 and IPv6, tagged and not."""
    kinds = [
        packet.Headers("10.0.0.1", "239.192.1.1", 26400, 26400),
        packet.Headers("fe80::1", "ff15::26", 26400, 26400),
    ]
    return [packet.build(rng.choice(kinds), payload) for payload in payloads(rng)]


def pcapng(packets: list[bytes], order: capture.Order) -> bytes:
    """A section with two interfaces, all blocks that hold packets, names, statistics and comments."""
    writer = capture.NgWriter(order)
    writer.section(b"made by ci/mutate.py")
    writer.interface(capture.Interface(name=b"A", tsresol=9), b"the first")
    writer.interface(capture.Interface(name=b"B", tsresol=0x8A, tsoffset=3600, snaplen=200))
    for index, data in enumerate(packets):
        writer.packet(index % 2, NOON_NS + 1000 * index, data, *([b"a comment"] if index % 3 == 0 else []))
    writer.simple(packets[0])
    writer.old_packet(1, NOON_NS, packets[1])
    writer.names([(b"\x0a\0\0\1", [b"one"])])
    writer.statistics(0, NOON_NS, {"ifrecv": 10, "ifdrop": 2})
    return bytes(writer.out)


def files(rng: random.Random) -> dict[str, bytes]:
    """A file of each form, and each of them in gzip."""
    packets = frames(rng)
    timed = [(NOON_NS + 1000 * index, data) for index, data in enumerate(packets)]
    plain = {
        "itch": capture.write_itch(messages(rng, 30), end=True),
        "pcap-ns": capture.write_pcap(timed),
        "pcap-us-big": capture.write_pcap(timed, nano=False, order="big"),
        "pcapng": pcapng(packets, "little"),
        "pcapng-big": pcapng(packets, "big"),
    }
    return plain | {f"{name}-gzip": capture.compress(data) for name, data in plain.items()}


def streams(rng: random.Random) -> dict[str, bytes]:
    """A SoupBinTCP session's packets, from both sides."""
    blank = b" " * 10
    number = b"%20d" % rng.randrange(2**63)
    bodies = [b"+debug", b"A" + SESSION + number, b"JA", b"H", b"Z", b"R", b"O", b"Lnumi  secret    " + blank + number]
    bodies += [letter + message for letter in (b"S", b"U") for message in messages(rng, 3)]
    return {"soup": b"".join(len(body).to_bytes(2, "big") + body for body in bodies)}


def sessions(rng: random.Random) -> dict[str, bytes]:
    """A server's words in pieces, and between them what else may happen to a client."""
    number = b"%20d" % rng.randrange(1, 9)
    accepted = b"A" + SESSION + number
    said = [accepted, *[b"S" + rng.randbytes(rng.choice((0, 9, 700))) for _ in range(9)], b"H", b"+debug"]
    others = [b"Z", b"JA", b"JS", accepted, b"Sx", b"R"]
    out = {}
    for turn in range(8):
        words = [accepted, *rng.choices(said, k=9), *rng.choices(others, k=2), accepted, *rng.choices(said, k=3)]
        stream = b"".join(len(word).to_bytes(2, "big") + word for word in words)
        steps = [bytes([turn])]
        while stream:
            size = rng.choice((1, 3, 40, 255))
            steps += [bytes([0x11, len(stream[:size])]), stream[:size]]
            stream = stream[size:]
            if rng.random() < 0.2:
                steps.append(bytes([rng.randrange(5), rng.randrange(256), 0, 0]))
        out[f"session-{turn}"] = b"".join(steps)
    return out


def books(rng: random.Random) -> dict[str, bytes]:
    """Runs of messages of orders for every aim, as messages and as short steps; the options are drawn."""
    letters = "AAAAFECXDDUUPS"
    by_letter = {letter: itch.LAYOUTS[letter.encode()].length - 1 for letter in letters}
    out = {}
    for aim in range(0, 128, 4):
        aim += rng.randrange(4)
        head = rng.randbytes(4)
        chosen = [rng.choice(letters) for _ in range(rng.choice((8, 30, 120)))]
        run = capture.write_itch([letter.encode() + rng.randbytes(by_letter[letter]) for letter in chosen])
        out[f"run-{aim}"] = head + bytes([aim]) + run
        out[f"steps-{aim}"] = head + bytes([aim | 128]) + rng.randbytes(5 * rng.choice((20, 100, 400, 1600)))
    return out


def taped(rng: random.Random) -> list[tape.Record]:
    """A record of each kind, and some frames with headers and without."""
    fits = [
        (domain, 0, *(rng.randrange(1, 2**bits) for bits in (63, 62, 33, 63, 32, 32, 31, 32, 32, 32)))
        for domain in (1, 3)
    ]
    out: list[tape.Record] = [
        tape.Clock(tuple(fits)),
        tape.Counters(1, NOON_NS, ((b"received", 10), (b"dropped", 2))),
        tape.Lost(1, 60, 2, 0),
    ]
    for payload in payloads(rng)[:4]:
        headers = rng.choice((b"", rng.randbytes(42)))
        domain = rng.choice((1, 3, 5, 8))
        stamp = (NOON_NS + rng.randrange(1000), 5, 2, domain)
        size = len(headers) + len(payload)
        out.append(tape.Frame(rng.randrange(3), 0, *stamp, NOON_NS, size, 0, headers, payload))
        out.append(tape.Step(NOON_NS, 64, 1))
    rng.shuffle(out)
    return out


def tapes(rng: random.Random) -> dict[str, bytes]:
    """Segments, whole ones, to be read as they stand and to be mended."""
    out = {}
    for index in range(4):
        begin: list[tape.Record] = [tape.Begin(7, 0, 1, b"{}")]
        blocks = [taped(rng)[: rng.randrange(1, 12)] for _ in range(rng.randrange(1, 4))]
        [data] = tape.write([[begin, *blocks, [tape.End()]]])
        out[f"tape-{index}"] = bytes([index % 4 > 0]) + data
    out["tape-gzip"] = b"\0" + capture.compress(data)
    return out


def merges(rng: random.Random) -> dict[str, bytes]:
    """Choices and steps, some of them with the most usual choices."""
    out = {}
    for turn in range(24):
        choices = rng.randbytes(4) + bytes(
            [rng.randrange(8), rng.randrange(256) if turn % 3 else rng.choice((0, 2, 16, 130))]
        )
        out[f"steps-{turn}"] = choices + rng.randbytes(3 * rng.choice((10, 40, 120)))
    return out


def feeds(rng: random.Random) -> dict[str, bytes]:
    """Choices and arrivals."""
    return {f"lines-{turn}": rng.randbytes(6 + 3 * rng.choice((10, 40, 120))) for turn in range(24)}


def snapshots(rng: random.Random) -> dict[str, bytes]:
    """Choices, and steps on the way to a join, some of them astray."""
    out = {}
    for turn in range(24):
        way = [0, 2, 8, 2, 8, 4, 8, 13, 8, 14, 8]
        if turn % 3 > 0:
            way = [verb for verb in way for _ in range(rng.choice((1, 1, 2, 3)))]
            way = [verb if rng.random() < 0.8 else rng.randrange(16) for verb in way * rng.choice((1, 1, 3))]
        steps = [bytes([verb | rng.randrange(4) << 4]) + rng.randbytes(2) for verb in way]
        out[f"join-{turn}"] = rng.randbytes(4) + b"".join(steps)
    return out


def recoveries(rng: random.Random) -> dict[str, bytes]:
    """Choices, and steps: most of them lose something, plan or reply."""
    out = {}
    for turn in range(24):
        steps = [
            bytes([rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 8, 10, 10, 10)) | rng.randrange(16) << 4]) + rng.randbytes(2)
            for _ in range(rng.choice((10, 40, 120)))
        ]
        out[f"steps-{turn}"] = rng.randbytes(7) + b"".join(steps)
    return out


def inputs(target: str, rng: random.Random) -> dict[str, bytes]:
    """What a target's head comment says that it reads."""
    if target == "itch":
        return {"run": b"\3" + capture.write_itch([*messages(rng, 30), b"?"], end=True)}
    if target == "mold":
        return {f"mold-{index}": payload for index, payload in enumerate(payloads(rng))}
    if target == "soup":
        return streams(rng)
    if target == "soup_client":
        return sessions(rng)
    if target == "book":
        return books(rng)
    if target == "tape":
        return tapes(rng)
    if target == "merge":
        return merges(rng)
    if target == "glimpse":
        return snapshots(rng)
    if target == "feed":
        return feeds(rng)
    if target == "recover":
        return recoveries(rng)
    if target == "packet":
        return {f"packet-{index}": b"\0" + frame for index, frame in enumerate(frames(rng))}
    return files(rng)


def generate(target: str, seed: int) -> Path:
    """Writes the files, anew; returns their folder."""
    folder = BUILD / "files" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    rng = random.Random(seed)
    for index in range(4):
        for name, data in inputs(target, rng).items():
            (folder / f"{index}-{name}").write_bytes(data)
    return folder


def build(target: str) -> Path:
    """The mutating program, under the address and undefined sanitizers, by gcc: clang's would bring a main."""
    folder = BUILD / "build"
    options = ["python=false", "fuzz=true", "checks=true", "b_sanitize=address,undefined", "b_lto=false"]
    if not (folder / "build.ninja").exists():
        words = [f"-D{option}" for option in [*options, "buildtype=debugoptimized"]]
        subprocess.run(["meson", "setup", folder, *words], cwd=ROOT, check=True)
    program = f"tests/fuzz/mutate_{target}"
    subprocess.run(["ninja", "-C", folder, program], check=True)
    return folder / program


def start(program: Path, target: str, seed: int, first: int, count: int) -> subprocess.Popen[bytes]:
    """One share of the inputs, in a process of its own."""
    found = ROOT / "build" / "found"
    found.mkdir(parents=True, exist_ok=True)
    kept = found / f"mutate-{target}-{seed}-{first}"
    command = [program, seed, first, count, kept, BUILD / "files" / target]
    print(*command, flush=True)
    return subprocess.Popen([str(word) for word in command])


def main() -> int:
    """Runs the shares side by side; 1 when one of them failed."""
    parser = argparse.ArgumentParser(description="mutated inputs through a sanitized build")
    parser.add_argument("target", nargs="?", choices=TARGETS, default="reader")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    generate(given.target, given.seed)
    program = build(given.target)
    started = time.monotonic()
    places = [given.count * job // given.jobs for job in range(given.jobs + 1)]
    shares = [start(program, given.target, given.seed, first, end - first) for first, end in itertools.pairwise(places)]
    codes = [share.wait() for share in shares]
    seconds = time.monotonic() - started
    failed = sum(code != 0 for code in codes)
    outcome = f"{failed} of {len(codes)} jobs failed"
    print(f"{given.target}: {given.count} inputs, seed {given.seed}, {seconds:.0f} s, {outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
