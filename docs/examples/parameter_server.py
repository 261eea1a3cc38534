#!/usr/bin/env python3
"""A client of Marquee's parameter server in Python, written from docs/wire.md alone.

    pip install pynng protobuf            # and protoc: Debian's protobuf-compiler
    protoc --proto_path=proto --python_out=build proto/rpc.proto proto/parameter_server.proto
    pserver --listen tcp://127.0.0.1:5555 &
    PYTHONPATH=build python3 docs/examples/parameter_server.py tcp://127.0.0.1:5555

Creates two tables, pulls rows, pushes gradients in both number formats, and reads the rows back in two ways. Prints the
rows, one a line: table, id, values as hexadecimal floats, which lose nothing.
"""
import argparse
import struct
import sys
import time

import parameter_server_pb2 as ps
import pynng
import rpc_pb2 as rpc

SERVICE = "marquee.ps.v1.ParameterServer"
FIXED = struct.Struct("<4sHHIIQ")  # magic, version, kind, header_bytes, body_bytes, raw_bytes
MAGIC, VERSION, REQUEST, RESPONSE = b"MQRP", 1, 1, 2
UNAVAILABLE = 14
ATTEMPT_S = 20.0  # nothing came for so long: the call is repeated
PAUSE_S, PAUSE_MAX_S = 0.002, 0.2


class CallFailed(Exception):
    def __init__(self, status, message):
        super().__init__(f"status {status}: {message}")
        self.status = status


def frame(header, body, raw):
    """A request as it travels: fixed part, header, body, zeros up to a multiple of 8, raw."""
    start = FIXED.pack(MAGIC, VERSION, REQUEST, len(header), len(body), len(raw)) + header + body
    return start + bytes(-len(start) % 8) + raw


def unframe(message):
    """The header, body and raw of a response."""
    if len(message) < FIXED.size:
        raise ValueError(f"a frame of {len(message)} bytes")
    magic, version, kind, header_bytes, body_bytes, raw_bytes = FIXED.unpack_from(message)
    if (magic, version, kind) != (MAGIC, VERSION, RESPONSE):
        raise ValueError(f"not a response of version {VERSION}: {message[:8].hex(' ')}")
    body = FIXED.size + header_bytes
    end = body + body_bytes
    raw = end + -end % 8
    if len(message) != raw + raw_bytes:
        raise ValueError(f"a frame of {len(message)} bytes that says it has {raw + raw_bytes}")
    return message[FIXED.size:body], message[body:end], message[raw:]


class Client:
    """One worker of a job on one server. Its calls come one after the other."""

    def __init__(self, url, job, worker=0, token=b"", deadline_s=30.0):
        # nng must not repeat requests by itself: a repeat has the rest of the deadline, not all of it.
        self.socket = pynng.Req0(dial=url, resend_time=-1, recv_max_size=256 << 20)
        self.job, self.worker, self.token, self.deadline_s = job, worker, token, deadline_s
        self.incarnation = time.time_ns()  # larger than that of every start before
        self.sequence = 0
        self.dims = []

    def close(self):
        self.socket.close()

    def attempt(self, method, body, raw, left_s):
        header = rpc.RequestHeader(service=SERVICE, method=method, job=self.job, token=self.token, worker=self.worker,
                                   incarnation=self.incarnation, sequence=self.sequence)
        # The server gives up a little before the client does, so that its reason arrives.
        header.deadline_ms = max(1, int(1000 * (left_s - min(left_s / 10, 0.1))))
        self.socket.send_timeout = self.socket.recv_timeout = max(1, int(1000 * min(left_s, ATTEMPT_S)))
        self.socket.send(frame(header.SerializeToString(), body.SerializeToString(), raw))
        header_bytes, body_bytes, raw_bytes = unframe(self.socket.recv())
        return rpc.ResponseHeader.FromString(header_bytes), body_bytes, raw_bytes

    def call(self, method, body, reply_type, raw=b""):
        """The reply's body and raw. A repeat has the number of the call it repeats, and a push is applied once."""
        self.sequence += 1
        end = time.monotonic() + self.deadline_s
        pause_s = PAUSE_S
        while True:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise CallFailed(4, f"{method}: no answer within {self.deadline_s} s")
            try:
                header, body_bytes, raw_bytes = self.attempt(method, body, raw, left_s)
                if header.status == 0:
                    return reply_type.FromString(body_bytes), raw_bytes
                if header.status != UNAVAILABLE:
                    raise CallFailed(header.status, f"{method}: {header.message}")
            except (pynng.Timeout, pynng.ConnectionReset, pynng.ConnectionAborted):
                pass
            time.sleep(min(pause_s, max(0, end - time.monotonic())))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def join(self, tables, mode=ps.ASYNC, workers=1, lanes=8, seed=1):
        self.dims = [table.dim for table in tables]
        request = ps.JoinRequest(job=self.job, worker=self.worker, workers=workers, lanes=lanes, mode=mode, seed=seed,
                                 tables=tables)
        return self.call("Join", request, ps.JoinReply)[0]

    def pull(self, step, ids_of, dtype=ps.F32):
        """ids_of: {table: [id, ...]}. Returns {table: [row, ...]}, a row being a tuple of floats."""
        request = ps.PullRequest(step=step, dtype=dtype)
        for table, ids in ids_of.items():
            request.tables.add(table=table, count=len(ids))
        _, raw = self.call("Pull", request, ps.PullReply, b"".join(pack_ids(ids) for ids in ids_of.values()))
        rows = {}
        for table, ids in ids_of.items():
            rows[table], raw = unpack_rows(raw, len(ids), self.dims[table], dtype)
        if raw:
            raise ValueError(f"{len(raw)} bytes more than the rows that were asked for")
        return rows

    def push(self, step, gradients_of, slot=0, dtype=ps.F32):
        """gradients_of: {table: {id: gradient}}. The slot is one of this worker's own lanes."""
        request = ps.PushRequest(step=step, dtype=dtype)
        raw = b""
        for table, gradients in gradients_of.items():
            request.segments.add(table=table, slot=slot, count=len(gradients))
            raw += pack_ids(gradients)
        for gradients in gradients_of.values():
            raw += b"".join(pack_floats(gradient, dtype) for gradient in gradients.values())
        self.call("Push", request, ps.PushReply, raw)

    def snapshot(self, table, chunk=1000):
        """Yields (id, record) of every row that was ever pushed: the row, and behind it the optimizer's state."""
        cursor = 0
        while True:
            request = ps.SnapshotRequest(table=table, cursor=cursor, max_records=chunk)
            reply, raw = self.call("Snapshot", request, ps.SnapshotReply)
            ids = struct.unpack_from(f"<{reply.count}Q", raw)
            records, rest = unpack_rows(raw[8 * reply.count:], reply.count, reply.record_floats, ps.F32)
            if rest:
                raise ValueError(f"{len(rest)} bytes behind the snapshot's records")
            yield from zip(ids, records)
            if reply.done:
                return
            cursor = reply.cursor

    def leave(self):
        self.call("Leave", ps.LeaveRequest(), ps.LeaveReply)


def pack_ids(ids):
    return struct.pack(f"<{len(ids)}Q", *ids)


def pack_floats(values, dtype):
    data = struct.pack(f"<{len(values)}f", *values)
    if dtype == ps.F32:
        return data
    # bfloat16: the upper half of an f32, here cut off. A push may round as it likes.
    return b"".join(data[at + 2:at + 4] for at in range(0, len(data), 4))


def unpack_rows(raw, count, dim, dtype):
    """The first count rows, and what follows them."""
    size = count * dim * (4 if dtype == ps.F32 else 2)
    if len(raw) < size:
        raise ValueError(f"{len(raw)} bytes for {count} rows of {dim}")
    data, rest = raw[:size], raw[size:]
    if dtype != ps.F32:
        data = b"".join(b"\0\0" + data[at:at + 2] for at in range(0, size, 2))
    values = struct.unpack(f"<{count * dim}f", data)
    return [values[at:at + dim] for at in range(0, count * dim, dim)] if dim else [], rest


def demonstrate(client, workers):
    """What the head of this file says."""
    adagrad = ps.Optimizer(name="adagrad", learning_rate=0.1, epsilon=1e-6)
    sgd = ps.Optimizer(name="sgd", learning_rate=0.5)
    client.join([ps.TableSpec(name="user", dim=4, init_limit=0.25, optimizer=sgd),
                 ps.TableSpec(name="movie", dim=3, init_limit=0.5, optimizer=adagrad)], workers=workers, seed=42)
    users, movies = [1, 2, 3, 2**64 - 1], [10, 20]
    first = client.pull(0, {0: users, 1: movies})

    client.push(0, {0: {2: (1, 2, 3, 4)}, 1: {10: (0.5, -0.25, 1), 20: (1, 1, 1)}})
    client.push(1, {0: {3: (0.5, -1, 8, 0)}}, dtype=ps.BF16)
    rows = client.pull(2, {0: users, 1: movies})

    # SGD is row - learning rate * gradient; a row that was not pushed is as it was.
    single = struct.Struct("<f")
    expected = tuple(single.unpack(single.pack(w - 0.5 * g))[0] for w, g in zip(first[0][1], (1, 2, 3, 4)))
    assert rows[0][1] == expected, (rows[0][1], expected)
    assert rows[0][0] == first[0][0] and rows[0][3] == first[0][3]

    # Read back the other way: a record is the row and then, of Adagrad, a sum of squares for each value.
    kept = dict(client.snapshot(0, chunk=1))
    assert kept == {2: rows[0][1], 3: rows[0][2]}, kept
    movie = dict(client.snapshot(1))
    assert {id: record[:3] for id, record in movie.items()} == dict(zip(movies, rows[1])), movie

    for name, ids, table in (("user", users, rows[0]), ("movie", movies, rows[1])):
        for id, row in zip(ids, table):
            print(name, id, *(value.hex() for value in row))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url", help="of one server that has all of the ids (--shard 0/1)")
    parser.add_argument("--workers", type=int, default=1, help="of the job; its tables stay until all have left")
    parser.add_argument("--token-file", help="the secret that the server asks for")
    options = parser.parse_args()
    token = b""
    if options.token_file:
        with open(options.token_file, "rb") as file:
            token = file.read().rstrip()
    client = Client(options.url, job="example", token=token)
    try:
        demonstrate(client, options.workers)
        client.leave()
    except CallFailed as failure:
        sys.exit(f"parameter_server.py: {failure}")
    finally:
        client.close()


if __name__ == "__main__":
    main()
