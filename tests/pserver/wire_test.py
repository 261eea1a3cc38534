#!/usr/bin/env python3
"""A client written from docs/wire.md alone, over a plain socket: no nng, no protobuf library.

usage: wire_test.py PSERVER
"""
import socket
import struct
import subprocess
import sys

REQUEST, RESPONSE = 1, 2


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n) if n else b""


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def float32(field, x):
    return varint(field << 3 | 5) + struct.pack("<f", x)


def fields(message):
    """The varint and bytes fields of a protobuf message."""
    out, at = {}, 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = read()
        if key & 7 == 0:
            out[key >> 3] = read()
        else:
            assert key & 7 == 2, key
            size = read()
            out[key >> 3] = message[at : at + size]
            at += size
    return out


def request(service, method, deadline_ms, worker, sequence, body, raw):
    header = text(1, service) + text(2, method) + number(3, deadline_ms) + text(4, "j")
    header += number(6, worker) + number(7, 1) + number(8, sequence)
    frame = b"MQRP" + struct.pack("<HHIIQ", 1, REQUEST, len(header), len(body), len(raw))
    frame += header + body
    return frame + b"\0" * (-len(frame) % 8) + raw


def check_example():
    """The request that docs/wire.md shows."""
    body = number(1, 7) + text(2, number(2, 1))
    frame = request("marquee.ps.v1.ParameterServer", "Pull", 500, 1, 9, body, struct.pack("<Q", 5))
    shown = bytes.fromhex("4d515250 0100 0100 31000000 06000000 0800000000000000 0a1d")
    shown += b"marquee.ps.v1.ParameterServer" + bytes.fromhex("1204") + b"Pull" + bytes.fromhex("18f403 2201")
    shown += b"j" + bytes.fromhex("3001 3801 4009 0807 12021001 00 0500000000000000")
    assert frame == shown, frame.hex(" ")


class Client:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.sendall(b"\0SP\0" + struct.pack(">HH", 0x30, 0))
        assert self.receive(8) == b"\0SP\0" + struct.pack(">HH", 0x31, 0)
        self.sequence = 0

    def receive(self, size):
        data = b""
        while len(data) < size:
            got = self.socket.recv(size - len(data))
            assert got, "connection closed"
            data += got
        return data

    def call(self, method, body=b"", raw=b"", repeat=False, service="marquee.ps.v1.ParameterServer"):
        if not repeat:
            self.sequence += 1
        frame = request(service, method, 5000, 0, self.sequence, body, raw)
        request_id = struct.pack(">I", 0x80000000 | self.sequence)
        self.socket.sendall(struct.pack(">Q", 4 + len(frame)) + request_id + frame)
        (size,) = struct.unpack(">Q", self.receive(8))
        assert self.receive(4) == request_id
        return self.parse(self.receive(size - 4))

    @staticmethod
    def parse(frame):
        magic, version, kind, header_bytes, body_bytes, raw_bytes = struct.unpack_from("<4sHHIIQ", frame)
        assert (magic, version, kind) == (b"MQRP", 1, RESPONSE)
        header = fields(frame[24 : 24 + header_bytes])
        body = fields(frame[24 + header_bytes : 24 + header_bytes + body_bytes])
        start = (24 + header_bytes + body_bytes + 7) // 8 * 8
        assert len(frame) == start + raw_bytes
        return header.get(1, 0), header.get(2, b"").decode(), body, frame[start:]


def check(client):
    status, _, body, _ = client.call("Check", service="marquee.health.v1.Health")
    assert status == 0 and body[1] == 1 and body[2] == 1, body

    optimizer = text(1, "sgd") + float32(2, 0.5)
    table = text(1, "user") + number(2, 2) + float32(3, 0.25) + text(4, optimizer)
    join = text(1, "j") + number(3, 1) + number(4, 8) + number(7, 42) + text(8, table)
    status, message, body, _ = client.call("Join", join)
    assert status == 0 and body[2] == 1, message

    ids = struct.pack("<2Q", 5, 2**64 - 1)
    pull = lambda step: number(1, step) + text(2, number(2, 2))
    status, message, _, raw = client.call("Pull", pull(0), ids)
    assert status == 0 and len(raw) == 16, message
    before = struct.unpack("<4f", raw)
    assert all(-0.25 <= x < 0.25 for x in before)

    push = text(2, number(2, 1) + number(3, 2) + number(4, 10))
    push_pull = text(1, push) + text(2, pull(1))
    gradients = struct.pack("<4f", 1, 2, 3, 4)
    status, message, _, raw = client.call("PushPull", push_pull, ids + gradients + ids)
    assert status == 0, message
    after = struct.unpack("<4f", raw)
    expected = struct.unpack("<4f", struct.pack("<4f", *(b - 0.5 * g for b, g in zip(before, (1, 2, 3, 4)))))
    assert after == expected, (after, expected)

    status, message, _, raw = client.call("PushPull", push_pull, ids + gradients + ids, repeat=True)
    assert status == 0 and struct.unpack("<4f", raw) == after, "a repeat was applied again"

    status, message, _, _ = client.call("Pull", pull(1), ids[:8])
    assert status == 3 and "raw data" in message, message
    status, message, body, _ = client.call("Audit")
    assert status == 0 and body[1] == varint(10), "the examples of one push, of which a repeat came"

    status, message, _, _ = client.call("Pulll")
    assert status == 12, message
    status, message, _, _ = client.call("Leave")
    assert status == 0, message


def main():
    check_example()
    server = subprocess.Popen([sys.argv[1], "--listen", "tcp://127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        host, port = server.stdout.readline().split()[2].removeprefix("tcp://").split(":")
        check(Client(host, int(port)))
    finally:
        server.terminate()
        code = server.wait(timeout=20)
    assert code == 0, f"pserver ended with {code}"


main()
