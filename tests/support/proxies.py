"""Two small proxies that forward to loopback and remember where they were asked to go: HTTP (absolute addresses and CONNECT) and SOCKS5."""
import socket
import struct
import threading
from urllib.parse import urlsplit


# Hosts that exist nowhere: to a client they are not loopback (which is asked without a proxy), to these proxies they are.
NAMES = {name: "127.0.0.1" for name in ("hub.example", "cdn.example", "mirror.example", "other.example", "huggingface.co")}


class _Proxy:
    """`with HttpProxy() as proxy:`; proxy.url for the client, proxy.asked = [(host, port)] in the order of asking. """
    scheme = ""

    def __enter__(self):
        self.asked, self.heads = [], []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"{self.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # shutdown wakes the accepting thread; close alone would leave it waiting
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_quietly, args=(client,), daemon=True).start()

    def _serve_quietly(self, client):
        with client:
            try:
                self._serve(client)
            except (OSError, ValueError, struct.error):
                pass

    def _connect(self, host, port):
        self.asked.append((host, port))
        for info in socket.getaddrinfo(NAMES.get(host, host), port, type=socket.SOCK_STREAM):
            try:
                peer = socket.socket(*info[:3])
                peer.connect(info[4])
                return peer
            except OSError:
                peer.close()
        raise OSError(f"{host}:{port} does not answer")

    @staticmethod
    def _relay(one, other):
        def pump(source, target):
            try:
                while data := source.recv(1 << 16):
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        back = threading.Thread(target=pump, args=(other, one), daemon=True)
        back.start()
        pump(one, other)
        back.join()


class HttpProxy(_Proxy):
    """With `password` ("user:word" in base64), asks for it."""
    scheme = "http"

    def __init__(self, password=None):
        self.password = password

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(1 << 16)
            if not piece:
                return
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.heads.append((first, lines))
        if self.password and not any(line.lower().startswith("proxy-authorization:") and self.password in line for line in lines):
            return client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        method, target, version = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with self._connect(host.strip("[]"), int(port)) as peer:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                peer.sendall(rest)
                self._relay(client, peer)
            return
        url = urlsplit(target)
        with self._connect(url.hostname, url.port or 80) as peer:
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            # One request a connection, so that the next one is seen too.
            peer.sendall("\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1") + rest)
            self._relay(client, peer)


class SocksProxy(_Proxy):
    scheme = "socks5h"

    def _exactly(self, client, size):
        data = b""
        while len(data) < size:
            piece = client.recv(size - len(data))
            if not piece:
                raise OSError("hung up")
            data += piece
        return data

    def _serve(self, client):
        _, methods = struct.unpack("BB", self._exactly(client, 2))
        self._exactly(client, methods)
        client.sendall(b"\x05\x00")
        _, command, _, kind = struct.unpack("BBBB", self._exactly(client, 4))
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, self._exactly(client, 4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, self._exactly(client, 16))
        else:
            host = self._exactly(client, self._exactly(client, 1)[0]).decode("latin-1")
        port, = struct.unpack("!H", self._exactly(client, 2))
        if command != 1:
            return client.sendall(b"\x05\x07\x00\x01" + b"\0" * 6)
        with self._connect(host, port) as peer:
            client.sendall(b"\x05\x00\x00\x01" + b"\0" * 6)
            self._relay(client, peer)
