"""Reads the log of a data directory, from docs/log-format.md alone: it proves that the page is enough.

Usage: read_log.py DATA_DIR

Prints every durable entry as `sns-server log dump` does, one JSON object a line, oldest first. Needs
nothing but Python's standard library. Ends with 0, or with 9 and one line on stderr when the log is
damaged, with 2 when there is none.
"""

import json
import os
import re
import struct
import sys
import time
import uuid

# Rules of apply that this program knows: section "Entry".
KNOWN_VERSION = 2


class Damaged(Exception):
    """What was declared durable is not there as it was written."""


def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(*parts):
    """CRC-32C (Castagnoli) of the parts, one after the other."""
    crc = 0xFFFFFFFF
    for part in parts:
        for byte in part:
            crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def read_record(path, magic, tries=1):
    """`commit` and `head`: the log id (16 bytes) and an index; None when there is no such file."""
    for attempt in range(tries):
        try:
            with open(path, "rb") as file:
                record = file.read(36)
        except FileNotFoundError:
            return None
        if len(record) == 36 and record[:8] == magic:
            index, crc = struct.unpack("<QI", record[24:])
            if crc == crc32c(record[:32]):
                return record[8:24], index
        # A writer may just be at it.
        time.sleep(0.001 * attempt)
    raise Damaged(f"{path}: the record does not add up")


def read_header(path, segment, first):
    """What a segment says of itself: log id, first index of the one before, crc of the entry before."""
    if len(segment) < 60 or segment[:8] != b"\xffSNSLOG\n":
        raise Damaged(f"{path}: no header of a segment")
    version, prev, index, _, prev_first = struct.unpack("<IIQQQ", segment[8:40])
    (crc,) = struct.unpack("<I", segment[56:60])
    if crc != crc32c(segment[:56]):
        raise Damaged(f"{path}: the checksum of the header does not fit")
    if version != 1:
        raise Damaged(f"{path}: version {version} of the segment, this program knows 1")
    if index != first:
        raise Damaged(f"{path}: it begins with entry {index}, its name says {first}")
    return segment[40:56], prev_first, prev


def read_frames(path, segment, log_id, index, prev, commit):
    """The frames of one segment: index, crc, payload; nothing past `commit`."""
    at = 60
    while at < len(segment) and index <= commit:
        bad = f"{path} at byte {at}, entry {index}: "
        if len(segment) - at < 32 or segment[at : at + 4] != b"\xffSNf":
            raise Damaged(bad + "no frame begins here")
        length, crc, before, number, _ = struct.unpack("<IIIQQ", segment[at + 4 : at + 32])
        end = at + 32 + length
        if not 1 <= length <= 512 * 1024 or end > len(segment):
            raise Damaged(bad + "the frame is cut off")
        if crc != crc32c(log_id, segment[at + 4 : at + 8], segment[at + 12 : end]):
            raise Damaged(bad + "the checksum does not fit")
        if (number, before) != (index, prev):
            raise Damaged(bad + "it does not follow the entry before")
        yield index, crc, segment[at + 32 : end]
        at, index, prev = end, index + 1, crc


def read_log(directory):
    """All durable entries, oldest first."""
    # First what is durable, then what there is: a later commit only adds to it.
    commit = read_record(os.path.join(directory, "commit"), b"\xffSNSCMT\n", tries=20)
    head = read_record(os.path.join(directory, "head"), b"\xffSNSHED\n")
    named = re.compile(r"([0-9]{20})\.seg")
    names = sorted(filter(named.fullmatch, os.listdir(directory)))
    firsts = [int(name[:20]) for name in names]
    if commit is None:
        raise Damaged(f"{directory}: segments, and no `commit`") if firsts else FileNotFoundError
    (log_id, durable), index = commit, head[1] if head else 1
    if head and head[0] != log_id:
        raise Damaged(f"{directory}: `head` is of another log")
    # Segments below the head are leftovers of a trim.
    firsts = [first for first in firsts if first >= index]
    prev = prev_first = None
    for first in firsts:
        if index > durable:
            return
        path = os.path.join(directory, f"{first:020}.seg")
        if first != index:
            raise Damaged(f"{path}: entry {index} is missing before it")
        with open(path, "rb") as file:
            segment = file.read()
        of, before, crc = read_header(path, segment, first)
        if of != log_id or prev is not None and (prev_first, prev) != (before, crc):
            raise Damaged(f"{path}: it does not follow the segment before")
        prev, prev_first = crc, first
        for number, crc, payload in read_frames(path, segment, log_id, first, crc, durable):
            yield number, crc, payload
            index, prev = number + 1, crc
    if index <= durable:
        raise Damaged(f"{directory}: entry {index} is missing, `commit` says {durable}")


def fields(message):
    """The fields of a protobuf message, in order: number, and an int or bytes."""
    at = 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number & 0xFFFFFFFFFFFFFFFF

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            length = varint()
            if at + length > len(message):
                raise Damaged("a field is cut off")
            yield tag >> 3, message[at : at + length]
            at += length
        elif tag & 7 in (1, 5):
            # Fixed width: no field of ours today, perhaps one that is added.
            at += 8 if tag & 7 == 1 else 4
        else:
            raise Damaged("no protobuf message")


def text(data):
    return data.decode("utf-8")


def hidden(_):
    return "(hidden)"


# Number in Command.kind: its name, and its fields: number, name, how it is shown, value when absent.
KINDS = {
    10: ("create_user", [(1, "user", text, "")]),
    11: ("follow", [(1, "user", text, ""), (2, "followee", text, "")]),
    12: ("unfollow", [(1, "user", text, ""), (2, "followee", text, "")]),
    13: ("create_post", [(1, "user", text, ""), (2, "text", text, "")]),
    14: ("delete_post", [(1, "user", text, ""), (2, "id", int, 0)]),
    15: ("checkpoint", [(1, "index", int, 0), (2, "digest", bytes.hex, ""), (3, "digest_version", int, 0)]),
    16: ("create_account", [(1, "user", text, ""), (2, "password_hash", hidden, "(hidden)"), (3, "claim", bool, False)]),
    17: ("set_password", [(1, "user", text, ""), (2, "password_hash", hidden, "(hidden)")]),
    18: ("revoke_tokens", [(1, "user", text, "")]),
}


def command(index, slot, message):
    shown = {"seq": index << 16 | slot}
    request_id, seen, kind = None, 0, None
    for number, value in fields(message):
        if number == 1:
            request_id = str(uuid.UUID(bytes=value)) if value else None
        elif number == 2:
            seen = value
        elif number in KINDS:
            kind = number, value
    if kind is None:
        raise Damaged(f"entry {index} holds a command written by a newer version")
    shown["kind"], known = KINDS[kind[0]]
    shown |= {name: absent for _, name, _, absent in known}
    for number, value in fields(kind[1]):
        shown |= {name: show(value) for n, name, show, _ in known if n == number}
    return shown | {"request_id": request_id, "seen": seen}


def entry(index, crc, payload):
    shown = {"index": index, "crc": f"{crc:08x}", "bytes": len(payload)}
    shown |= {"writer": "", "clock_ms": 0, "batch": "", "min_version": 0, "commands": []}
    for number, value in fields(payload):
        if number == 1:
            shown["min_version"] = value
        elif number == 2:
            shown["writer"] = text(value)
        elif number == 3:
            shown["batch"] = value.hex()
        elif number == 4:
            shown["clock_ms"] = value
        elif number == 5:
            shown["commands"].append(command(index, len(shown["commands"]), value))
    if shown["min_version"] > KNOWN_VERSION:
        raise Damaged(f"entry {index} needs version {shown['min_version']}, this program knows {KNOWN_VERSION}")
    return shown


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    data = sys.argv[1]
    try:
        with open(os.path.join(data, "format.json"), "rb") as file:
            version = json.load(file)["version"]
        if version != 1:
            print(f"{data}: format {version}: its log is not in it", file=sys.stderr)
            return 2
        if os.path.lexists(os.path.join(data, "restoring")):
            print(f"{data}: it was not filled to its end", file=sys.stderr)
            return 2
        for index, crc, payload in read_log(os.path.join(data, "log")):
            print(json.dumps(entry(index, crc, payload)))
    except FileNotFoundError:
        print(f"{data}: there is no SNS data with a log", file=sys.stderr)
        return 2
    except Damaged as damage:
        print(f"damaged: {damage}", file=sys.stderr)
        return 9
    return 0


sys.exit(main())
