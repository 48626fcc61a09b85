"""A loopback HTTP front over one chDB engine, which speaks ClickHouse's HTTP protocol.

chDB is the ClickHouse engine in a wheel, but only one process may open a data folder. This front is that
process: `clickhouse_connect.get_client(host=…, port=…)` and Airflow's ClickHouse hook use it unchanged.

    python -m devstack.clickhouse.front --path DIR --port N --user U --password-env VARIABLE

It prints one line when it is ready, stops with status 0 on SIGINT or SIGTERM, and listens on 127.0.0.1 only.
It does not support external data, compressed responses, ClickHouse's own block compression and KILL QUERY.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import email.policy
import hmac
import json
import os
import re
import signal
import sys
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import lz4.frame
from backports import zstd

from devstack.clickhouse.engine import BLANK, STOP_GRACE_S, Answer, ClickHouseError, Engine, StartupError

MAX_SESSION_TIMEOUT_S = 3600.0
HEAD_BYTES = 256 * 1024  # ClickHouse's max_query_size: an INSERT names its format within it

# ClickHouse's exceptionCodeToHTTPStatus; every other code is a 500.
# fmt: off
_CODES_BY_STATUS = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    501: (48,),
    503: (76, 209, 439),
}

# URL parameters that ClickHouse's HTTP handler consumes itself; all others are settings.
TRANSPORT_PARAMETERS = frozenset((
    "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id",
    "quota_key", "user", "password", "role", "compress", "decompress", "buffer_size", "wait_end_of_query",
    "client_protocol_version", "enable_http_compression", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "add_http_cors_header",
    "cancel_http_readonly_queries_on_client_close",
))
# fmt: on
HTTP_STATUS = {code: status for status, codes in _CODES_BY_STATUS.items() for code in codes}

_INSERT_WITH_DATA = re.compile(
    BLANK + rb"(INSERT\s+INTO\b"
    rb"(?:'(?:[^'\\]|\\.)*+'|`(?:[^`\\]|\\.)*+`|\"(?:[^\"\\]|\\.)*+\"|[^'`\"\w]"
    rb"|(?!(?:SELECT|VALUES|WITH|FORMAT)\b)\w++)*+)"
    rb"FORMAT\s+(\w++)[ \t\f]*+(?:\r?\n|(?=[^ \t\f\r\n]))",
    re.IGNORECASE | re.DOTALL,
)


def _decompressed(chunks: Iterator[bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress a stream of any number of frames: clients compress block by block."""
    decoder: Any = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder is None:
                decoder = new()
            try:
                yield decoder.decompress(rest)
            except (RuntimeError, zlib.error, zstd.ZstdError) as error:
                raise ClickHouseError.named(354, "CANNOT_DECOMPRESS", f"Request body: {error}") from None
            rest = b""
            if decoder.eof:
                rest, decoder = decoder.unused_data or b"", None
    if decoder is not None:
        raise ClickHouseError.named(354, "CANNOT_DECOMPRESS", "Request body: the last frame is cut off")


DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
}


@dataclass
class Request:
    """One request: its URL (and form) parameters, and the body that has not been read yet."""

    parameters: dict[str, str]
    body: Iterator[bytes]
    default_format: str

    def run(self, engine: Engine) -> Answer:
        """Run the statement of this request on the engine.

        Raises:
            ClickHouseError: the engine or the front refuses it.
        """
        parameters = self.parameters
        session_id = parameters.get("session_id") or None
        try:
            timeout_s = min(float(parameters.get("session_timeout", 60)), MAX_SESSION_TIMEOUT_S)
        except ValueError:
            raise ClickHouseError.named(374, "INVALID_SESSION_TIMEOUT", "Invalid session timeout") from None
        bound = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        }
        head, insert = self._read_head(parameters.get("query", ""))
        must_exist = parameters.get("session_check") == "1"
        with engine.session(session_id, timeout_s, must_exist=must_exist) as session:
            session.prepare(parameters.get("database") or None, settings, head)
            if insert:
                return session.insert(insert[1], insert[2].decode(), self._data(head[insert.end() :]))
            head += b"".join(self.body)
            if not head.strip():
                raise ClickHouseError.named(62, "SYNTAX_ERROR", "Syntax error: Empty query")
            return session.run(head, self.default_format, bound)

    def _read_head(self, query: str) -> tuple[bytes, re.Match[bytes] | None]:
        """Read until an INSERT's data begins, or everything that may still be the statement."""
        head = f"{query}\n".encode() if query else b""
        while not (insert := _INSERT_WITH_DATA.match(head)) and len(head) < HEAD_BYTES:
            chunk = next(self.body, None)
            if chunk is None:
                # A statement may end the body without the line feed that ends its FORMAT clause.
                insert = _INSERT_WITH_DATA.match(head + b"\n")
                break
            head += chunk
        return head, insert

    def _data(self, first: bytes) -> Iterator[bytes]:
        yield from (chunk for chunk in (first,) if chunk)
        yield from (chunk for chunk in self.body if chunk)


class Handler(BaseHTTPRequestHandler):
    """Serves HTTP. A request body is always read to its end, so that the connection can be kept."""

    server: Front
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # 5 ms instead of 48 ms for a small query
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: statements and credentials do not belong in logs."""

    def do_POST(self) -> None:
        """Answer one request of either method."""
        url = urlsplit(self.path)
        raw = self._raw_body()
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        try:
            if url.path in {"/ping", "/replicas_status"} or (self.command == "GET" and "query" not in parameters):
                return self._send(200, b"Ok.\n")
            self._authenticate(parameters)
            answer = self._request(parameters, raw).run(self.server.engine)
            for _ in raw:
                pass
        except ClickHouseError as error:
            for _ in raw:
                pass
            return self._send_error(error, query_id)
        except ConnectionError:
            self.close_connection = True
            return None
        headers = {"X-ClickHouse-Summary": json.dumps({name: str(n) for name, n in answer.summary.items()})}
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        return self._send(200, answer.body, query_id, headers)

    do_GET = do_POST

    def _authenticate(self, parameters: dict[str, str]) -> None:
        user = self._header_bytes("X-ClickHouse-User") or parameters.get("user", "default").encode()
        password = self._header_bytes("X-ClickHouse-Key") or parameters.get("password", "").encode()
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with suppress(binascii.Error):
                user, _, password = base64.b64decode(token).partition(b":")
        if not hmac.compare_digest(user + b"\0" + password, self.server.credentials):
            name = user.decode(errors="replace")
            reason = "Authentication failed: password is incorrect, or there is no user with such name."
            raise ClickHouseError.named(516, "AUTHENTICATION_FAILED", f"{name}: {reason}")

    def _header_bytes(self, name: str) -> bytes:
        """Return a header's bytes: http.server reads headers as Latin-1, while clients usually send UTF-8."""
        return self.headers.get(name, "").encode("latin-1")

    def _request(self, parameters: dict[str, str], raw: Iterator[bytes]) -> Request:
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity" and encoding not in DECODERS:
            raise ClickHouseError.named(48, "NOT_IMPLEMENTED", f"Content-Encoding {encoding} is not supported")
        body = _decompressed(raw, DECODERS[encoding]) if encoding in DECODERS else raw
        if self.headers.get_content_type() == "multipart/form-data":
            parameters |= self._form_fields(b"".join(body))
            body = iter(())
        form = self.headers.get("X-ClickHouse-Format") or parameters.get("default_format") or "TabSeparated"
        return Request(parameters, body, form)

    def _form_fields(self, body: bytes) -> dict[str, str]:
        """Read the fields of a form: clients move long parameters from the URL into one."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        fields = {}
        for part in BytesParser(policy=email.policy.HTTP).parsebytes(head + body).iter_parts():
            if part.get_filename():
                raise ClickHouseError.named(48, "NOT_IMPLEMENTED", "External data is not supported by this front")
            payload = part.get_payload(decode=True)
            name = part.get_param("name", header="content-disposition")
            fields[str(name)] = payload.decode() if isinstance(payload, bytes) else ""
        return fields

    def _raw_body(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            ConnectionError: it ends too early; a part of an INSERT must not be committed.
        """
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := self._chunk_size():
                yield from self._read(size)
                self.rfile.readline(16)
            while self.rfile.readline(65536).strip():
                pass
        else:
            yield from self._read(int(self.headers.get("Content-Length") or 0))

    def _chunk_size(self) -> int:
        line = self.rfile.readline(1024)
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise ConnectionResetError("the request body broke off") from None

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, 1 << 20))
            if not piece:
                raise ConnectionResetError("the request body broke off")
            size -= len(piece)
            yield piece

    def _send_error(self, error: ClickHouseError, query_id: str) -> None:
        text = str(error)
        if "(version " not in text:
            text += f" (version {self.server.engine.version})"
        headers = {"X-ClickHouse-Exception-Code": str(error.code)}
        self._send(HTTP_STATUS.get(error.code, 500), f"{text}\n".encode(), query_id, headers)

    def _send(self, status: int, body: bytes, query_id: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Timezone", self.server.engine.timezone)
        if query_id:
            self.send_header("X-ClickHouse-Query-Id", query_id)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Front(ThreadingHTTPServer):
    """The listening socket. Threads of idle, kept connections die with the process.

    Args:
        port: port on 127.0.0.1; 0 takes a free one.
        engine: runs the statements.
        user: the only user.
        password: the user's password.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, engine: Engine, user: str, password: str) -> None:
        self.engine = engine
        self.credentials = f"{user}\0{password}".encode()
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that goes away while it is answered; report every other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(path: Path, port: int, user: str, password: str) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        path: data folder, made when it is missing.
        port: port on 127.0.0.1; 0 takes a free one, which the ready line names.
        user: the only user.
        password: the user's password.

    Raises:
        StartupError: the data folder is in use, or the port is taken.
    """
    engine = Engine(path)
    try:
        front = Front(port, engine, user, password)
    except OSError as error:
        raise StartupError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
    for number in (signal.SIGINT, signal.SIGTERM):
        # shutdown() waits for the loop that this handler interrupts, so it needs a thread of its own.
        signal.signal(number, lambda *_: threading.Thread(target=front.shutdown).start())
    print(f"ClickHouse front ready on http://127.0.0.1:{front.server_port}", flush=True)
    front.serve_forever(poll_interval=0.1)
    front.server_close()
    if not engine.close():
        print(
            f"clickhouse_front: stopped with queries still running after {STOP_GRACE_S:.0f} s",
            file=sys.stderr,
        )
        os._exit(0)  # a running query cannot be interrupted; the engine recovers as from a crash


def main() -> int:
    """Serve as the command line asks.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m devstack.clickhouse.front", description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="data folder, made when it is missing")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--user", default="default")
    parser.add_argument(
        "--password-env", required=True, metavar="VARIABLE", help="environment variable with the password"
    )
    arguments = parser.parse_args()
    password = os.environ.get(arguments.password_env)
    if password is None:
        print(f"clickhouse_front: environment variable {arguments.password_env} is not set", file=sys.stderr)
        return 2
    try:
        serve(arguments.path, arguments.port, arguments.user, password)
    except (StartupError, OSError) as error:
        print(f"clickhouse_front: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
