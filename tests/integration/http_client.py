"""A running `marquee serve` for tests, and requests to it, whole ones and raw bytes."""
import http.client
import json
import socket
import urllib.parse

from programs import Line, program

DEADLINE_S = 30


class Serve(Line):
    def __init__(self, model, *arguments):
        super().__init__(program("marquee"), "serve", "--model", model, "--listen", "127.0.0.1:0", *arguments)
        url = urllib.parse.urlsplit(self.wait_for(r"^marquee serve: ready (\S+)"))
        self.address = url.hostname, url.port

    def connect(self):
        return socket.create_connection(self.address, timeout=DEADLINE_S)

    def get(self, path, method="GET", body=None, headers={}, **parameters):
        """The status and the body, which is JSON unless it is empty."""
        if parameters:
            path += "?" + urllib.parse.urlencode({k: str(v).lower() if isinstance(v, bool) else v
                                                  for k, v in parameters.items()})
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None
        finally:
            connection.close()

    def send(self, data, half_close=True):
        """Sends bytes as they are; returns all that comes until the server closes."""
        received = b""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    received += chunk
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                pass
        return received
