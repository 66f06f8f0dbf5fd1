"""The session against a server that does what servers and proxies do: on real sockets, on loopback."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.errors import ConfigError, RetryLater, Stop
from bridge.openproject.client import CONNECTIONS, Client, Misconfigured, Timeouts, Unavailable, Usage
from bridge.openproject.credentials import ApiKey

TOKEN = "opapi-5ec7e7"
TOKEN_AS_SENT = "Basic YXBpa2V5Om9wYXBpLTVlYzdlNw=="

# --- A server that can be told how to misbehave -----------------------------------------------------------------------


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Act = Callable[[socket.socket, Received], object]
"""What to do with the connection. Afterwards it is closed, unless the answer was a whole one."""


@dataclass
class Server:
    """Plays a script, one act a request; the last act is repeated."""

    script: Sequence[Act]
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        # Wakes accept(), which closing alone does not.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        for connection in self._open:
            with ExitStack() as ignoring:
                ignoring.callback(connection.close)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.connections += 1
            self._open.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline():
                    method, target, _ = line.decode().split(" ", 2)
                    headers = {}
                    while (line := lines.readline()) not in (b"\r\n", b""):
                        name, _, value = line.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    body = lines.read(int(headers.get("content-length", 0)))
                    request = Received(method, target, headers, body)
                    with self._lock:
                        act = self.script[min(len(self.received), len(self.script) - 1)]
                        self.received.append(request)
                    if act(connection, request) is not True:
                        return
        except OSError:
            return


def answer(
    status: int = 200,
    body: bytes | object = None,
    content_type: str = "application/hal+json; charset=utf-8",
    **headers: str,
) -> Act:
    """A whole answer; the connection stays."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()

    def act(connection: socket.socket, _: Received) -> bool:
        connection.sendall(head + content)
        return True

    return act


def raw(*pieces: bytes) -> Act:
    """These bytes, and then the connection is closed."""

    def act(connection: socket.socket, _: Received) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return act


def reset(*pieces: bytes) -> Act:
    """These bytes, and then the connection is reset."""

    def act(connection: socket.socket, _: Received) -> None:
        for piece in pieces:
            connection.sendall(piece)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return act


def stall(connection: socket.socket, _: Received) -> None:
    """No answer, for as long as the other side waits."""
    connection.recv(1)


def endless(head: bytes, piece: bytes) -> Act:
    """An answer that goes on until the other side hangs up."""

    def act(connection: socket.socket, _: Received) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return act


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/hal+json\r\n"
HALF = HEAD + b'Content-Length: 1000\r\n\r\n{"_type": "Coll'
UNENDING = HEAD + b"\r\n"
OK = answer(body={"_type": "Root"})
HTML = b"<!doctype html><title>Bad gateway</title>"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.start = datetime(2026, 11, 24, 18, tzinfo=UTC)
        self.elapsed = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.elapsed

    def clock(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serving(cleanup: ExitStack) -> Callable[..., Server]:
    def start(*script: Act, tls: ssl.SSLContext | None = None) -> Server:
        server = Server(script, tls)
        cleanup.callback(server.close)
        return server

    return start


IMPATIENT = Timeouts(connect=1, read=0.15, whole=60, attempts=4, body=100_000)


@pytest.fixture
def asking(cleanup: ExitStack, time: Time) -> Callable[..., Client]:
    def client(server: Server | str, **options: object) -> Client:
        given: dict[str, object] = {
            "timeouts": IMPATIENT,
            "clock": time.clock,
            "monotonic": time.monotonic,
            "sleep": time.sleep,
        }
        url = server if isinstance(server, str) else server.url
        made = Client(url, ApiKey(TOKEN), **(given | options))  # type: ignore[arg-type]
        cleanup.callback(made.close)
        return made

    return client


Serving = Callable[..., Server]
Asking = Callable[..., Client]


# --- What is asked ----------------------------------------------------------------------------------------------------


def test_a_request_says_who_asks_and_what_it_can_read(serving: Serving, asking: Asking) -> None:
    server = serving(OK)
    assert asking(server).get("/work_packages", {"filters": "[]", "pageSize": "1"}).body == {"_type": "Root"}
    (request,) = server.received
    assert (request.method, request.target) == ("GET", "/api/v3/work_packages?filters=%5B%5D&pageSize=1")
    assert request.headers["authorization"] == TOKEN_AS_SENT
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["user-agent"].startswith("openproject-bridge/")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_compressed_answer_is_unpacked(serving: Serving, asking: Asking) -> None:
    server = serving(answer(body=gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"))
    assert asking(server).get("").body == {"a": 1}


def test_an_openproject_below_a_path_is_asked_below_it(serving: Serving, asking: Asking) -> None:
    """Contract §13.2."""
    server = serving(OK)
    for pasted in ("/openproject", "/openproject/", "/openproject/api/v3", "/openproject/api/v3/"):
        asking(server.url + pasted).get("/statuses")
    assert {request.target for request in server.received} == {"/openproject/api/v3/statuses"}


def test_an_internal_address_is_asked_by_the_public_name(serving: Serving, asking: Asking) -> None:
    """Contract §13.3: the server checks the Host header and the scheme that users come by."""
    server = serving(OK)
    asking(server, public_url="https://tickets.example.org").get("")
    (request,) = server.received
    assert request.headers["host"] == "tickets.example.org"
    assert request.headers["x-forwarded-proto"] == "https"


@pytest.mark.parametrize(
    "url",
    [
        "tickets.example.org",
        "ftp://tickets.example.org",
        "https://",
        "https://someone:secret@tickets.example.org",
        "https://tickets.example.org/?query=1",
        "https://tickets.example.org/#top",
        "",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Client(url, ApiKey(TOKEN))
    assert "secret" not in str(refusal.value)


def test_the_environment_does_not_override_the_settings(
    serving: Serving, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serving(OK)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    asking(server).get("")
    assert server.received[0].headers["authorization"] == TOKEN_AS_SENT


def test_a_proxy_is_used_when_it_is_named(serving: Serving, asking: Asking) -> None:
    proxy = serving(OK)
    asking("http://tickets.example.org", proxy=proxy.url).get("/statuses")
    assert proxy.received[0].target == "http://tickets.example.org/api/v3/statuses"


def test_cookies_are_not_kept(serving: Serving, asking: Asking) -> None:
    server = serving(answer(Set_Cookie="_open_project_session=abc; path=/"))
    client = asking(server)
    client.get("")
    client.get("")
    assert [request.headers.get("cookie") for request in server.received] == [None, None]


def test_connections_are_kept_and_there_are_never_more_than_two(serving: Serving, asking: Asking) -> None:
    server = serving(lambda connection, request: answer(body={"asked": request.target})(connection, request))
    client = asking(server, timeouts=Timeouts())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: (n, client.get(f"/work_packages/{n}").body), range(200)))
    assert all(body == {"asked": f"/api/v3/work_packages/{n}"} for n, body in answers)
    assert server.connections <= CONNECTIONS
    assert client.usage == Usage(
        requests=200, writes=0, received=sum(len(json.dumps(b)) for _, b in answers), repeated=0
    )


def test_the_servers_clock_is_told(serving: Serving, asking: Asking) -> None:
    server = serving(
        answer(Date="Tue, 24 Nov 2026 17:59:30 GMT"),
        answer(Date="tomorrow"),
        answer(Date="Tue, 24 Nov 2026 18:00:00 -0000"),
        OK,
    )
    client = asking(server)
    dates = [client.get("").date for _ in range(4)]
    assert dates == [datetime(2026, 11, 24, 17, 59, 30, tzinfo=UTC), None, datetime(2026, 11, 24, 18, tzinfo=UTC), None]


# --- Asking again -----------------------------------------------------------------------------------------------------

PASSING = {
    "500": answer(500, {"_type": "Error"}),
    "502 with HTML": answer(502, HTML, "text/html"),
    "503 without a body": answer(503, b"", "text/plain"),
    "429": answer(429, {"_type": "Error"}),
    "time-out": stall,
    "reset before the answer": reset(),
    "closed before the answer": raw(),
    "reset in the middle of the body": reset(HALF),
    "closed in the middle of the body": raw(HALF),
    "reset in the middle of a chunk": reset(HEAD + b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"_type": '),
    "truncated JSON": answer(body=b'{"_type": "Collection", "_embedded": {"elem'),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "damaged compression": answer(body=b"\x1f\x8b\x08 no", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_fault_is_asked_again(fault: Act, serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(fault, fault, answer(body={"a": 1}))
    client = asking(server)
    assert client.get("").body == {"a": 1}
    assert len(server.received) == 3
    assert len(time.slept) == 2
    assert client.usage.repeated == 2


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_does_not_pass_is_left_to_the_next_cycle(fault: Act, serving: Serving, asking: Asking) -> None:
    server = serving(fault)
    with pytest.raises(RetryLater, match=r"GET /api/v3/statuses") as error:
        asking(server).get("/statuses", {"filters": "private"})
    assert len(server.received) == IMPATIENT.attempts
    assert "private" not in str(error.value)
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_request_that_writes_is_sent_once(method: str, fault: Act, serving: Serving, asking: Asking) -> None:
    server = serving(fault)
    with pytest.raises(RetryLater):
        asking(server).write(method, "/work_packages/1", {"lockVersion": 1})
    assert [(one.method, one.body) for one in server.received] == [(method, b'{"lockVersion":1}')]


def test_a_fault_can_be_told_without_asking_again(serving: Serving, asking: Asking) -> None:
    server = serving(answer(500))
    with pytest.raises(Unavailable) as error:
        asking(server).get("", repeat=False)
    assert error.value.status == 500
    assert len(server.received) == 1


def test_retry_after_in_seconds_is_waited_for(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(429, Retry_After="17"), answer(503, Retry_After="9"), OK)
    asking(server).get("")
    assert time.slept == [17, 9]


def test_retry_after_as_a_date_counts_from_the_servers_clock(serving: Serving, asking: Asking, time: Time) -> None:
    there = time.start - timedelta(seconds=90)
    server = serving(
        answer(
            429,
            Date=format_datetime(there, usegmt=True),
            Retry_After=format_datetime(there + timedelta(seconds=20), usegmt=True),
        ),
        answer(503, Retry_After=format_datetime(time.start + timedelta(seconds=50), usegmt=True)),
        OK,
    )
    asking(server).get("")
    # Without a Date from the server, the local clock must do: it stands 20 s later by then.
    assert time.slept == [20, 30]


def test_a_nonsensical_retry_after_is_none(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(503, Retry_After="soon"), answer(503, Retry_After="-5"), OK)
    asking(server).get("")
    assert all(0 <= pause <= 30 for pause in time.slept)


def test_a_long_retry_after_is_not_waited_for_but_respected(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(429, Retry_After="600"), OK)
    client = asking(server)
    with pytest.raises(RetryLater):
        client.get("")
    assert time.slept == []
    with pytest.raises(RetryLater, match="left alone for 600 s"):
        client.get("")
    with pytest.raises(RetryLater, match="left alone"):
        client.write("PATCH", "/work_packages/1", {})
    assert len(server.received) == 1
    time.elapsed += 600
    assert client.get("").ok


def test_a_retry_after_of_years_is_not_believed(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(503, Retry_After="9" * 400), OK)
    client = asking(server)
    with pytest.raises(RetryLater):
        client.get("")
    time.elapsed += Timeouts().rest
    assert client.get("").ok


def test_repetitions_end_when_their_time_is_over(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(503, Retry_After="25"))
    with pytest.raises(RetryLater):
        asking(server, timeouts=Timeouts(whole=60, attempts=100)).get("")
    assert time.slept == [25, 25]


def test_a_stop_ends_the_pause_and_the_repetitions(serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(503, Retry_After="25"))
    stop = threading.Event()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        stop.set()

    with pytest.raises(RetryLater, match="Stopping"):
        asking(server, stop=stop, sleep=sleep).get("")
    assert len(server.received) == 1


def test_by_default_a_pause_is_one_that_a_stop_interrupts(serving: Serving, asking: Asking) -> None:
    server = serving(answer(503, Retry_After="30"))
    stop = threading.Event()
    client = asking(server, stop=stop, sleep=None)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(RetryLater):
        client.get("")
    assert len(server.received) == 1


def test_nobody_listens_at_that_address(asking: Asking, time: Time) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unavailable, match="no connection to the server"):
        asking(f"http://127.0.0.1:{port}").get("")
    assert len(time.slept) == IMPATIENT.attempts - 1


def test_nobody_knows_that_host(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable, match="host of the OpenProject address is not known"):
        asking("http://nowhere.example.org").get("")


def test_the_proxy_is_down(asking: Asking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unavailable, match="proxy") as error:
        asking("http://tickets.example.org", proxy=f"http://me:s3cret@127.0.0.1:{port}").get("")
    assert "s3cret" not in str(error.value)


# --- Answers without an end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_an_answer_without_an_end_is_cut_off(method: str, serving: Serving, asking: Asking) -> None:
    server = serving(endless(UNENDING, b" " * 10_000))
    client = asking(server)
    with pytest.raises(Misconfigured, match="does not end after 100000 bytes"):
        client.get("") if method == "GET" else client.write(method, "/work_packages/1", {})
    assert len(server.received) == 1


def test_a_small_answer_that_unpacks_without_an_end_is_cut_off(serving: Serving, asking: Asking) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    server = serving(answer(body=bomb, Content_Encoding="gzip"))
    with pytest.raises(Misconfigured, match="does not end"):
        asking(server).get("")


def test_an_answer_that_trickles_is_given_up(serving: Serving, asking: Asking, time: Time) -> None:
    """Each byte comes in time, and all of them never: no time-out between two pieces notices."""

    def ticking() -> float:
        time.elapsed += 1
        return time.elapsed

    def trickle(connection: socket.socket, _: Received) -> None:
        connection.sendall(UNENDING)
        while True:
            connection.sendall(b" ")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    server = serving(trickle)
    with pytest.raises(RetryLater, match=r"does not end after 20 s"):
        asking(server, monotonic=ticking, timeouts=Timeouts(whole=20, attempts=1, body=10**9)).get("")


# --- Answers from somewhere else --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_redirect_is_not_followed_and_the_token_stays_here(
    method: str, status: int, serving: Serving, asking: Asking
) -> None:
    elsewhere = serving(OK)
    there = f"http://localhost:{elsewhere.port}/api/v3?secret=1"
    server = serving(answer(status, b"", "text/html", Location=there))
    client = asking(server)
    with pytest.raises(Misconfigured, match=f"redirects to http://localhost:{elsewhere.port}") as error:
        client.get("") if method == "GET" else client.write(method, "/work_packages/1", {})
    assert elsewhere.connections == 0
    assert len(server.received) == 1
    assert "secret" not in str(error.value)


def test_a_redirect_without_an_end_is_cut_off(serving: Serving, asking: Asking) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Type: text/html\r\n\r\n"
    with pytest.raises(Misconfigured, match="does not end"):
        asking(serving(endless(head, b" " * 10_000))).get("")


@pytest.mark.parametrize("status", [200, 201, 400, 403, 404, 406, 415])
def test_html_instead_of_json_is_not_this_api(status: int, serving: Serving, asking: Asking, time: Time) -> None:
    server = serving(answer(status, HTML, "text/html; charset=utf-8"))
    with pytest.raises(Misconfigured, match=f"{status} with text/html instead of JSON"):
        asking(server).get("")
    assert len(server.received) == 1


def test_the_servers_host_check_is_explained(serving: Serving, asking: Asking) -> None:
    """Contract §13.3: 400 in plain text."""
    server = serving(answer(400, b"Invalid host_name configuration", "text/plain"))
    with pytest.raises(Misconfigured, match="public address"):
        asking(server).get("")


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A self-signed certificate for that host, served and as a file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(UTC)
    alternative: x509.GeneralName = x509.DNSName(name)
    if name.startswith("127."):
        import ipaddress

        alternative = x509.IPAddress(ipaddress.ip_address(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return context, file


def test_a_certificate_of_a_named_authority_is_accepted(serving: Serving, asking: Asking, tmp_path: Path) -> None:
    tls, file = certificate("127.0.0.1", tmp_path)
    server = serving(OK, tls=tls)
    assert asking(server, ca=file).get("").ok


def test_an_unknown_authority_gets_no_token(serving: Serving, asking: Asking, tmp_path: Path, time: Time) -> None:
    tls, _ = certificate("127.0.0.1", tmp_path)
    server = serving(OK, tls=tls)
    with pytest.raises(Misconfigured, match="certificate"):
        asking(server).get("")
    assert server.received == []
    assert time.slept == []


def test_a_certificate_for_another_name_gets_no_token(serving: Serving, asking: Asking, tmp_path: Path) -> None:
    tls, file = certificate("tickets.example.org", tmp_path)
    server = serving(OK, tls=tls)
    with pytest.raises(Misconfigured, match="certificate"):
        asking(server, ca=file).get("")
    assert server.received == []


def test_certificates_that_are_not_there_are_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        Client("https://tickets.example.org", ApiKey(TOKEN), ca=tmp_path / "nothing.pem")


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/hal+json", "text/html"])
def test_a_refused_token_stops_the_bridge_and_is_not_shown(kind: str, serving: Serving, asking: Asking) -> None:
    server = serving(answer(401, {"_type": "Error", "errorIdentifier": "urn:x:Unauthenticated"}, kind))
    client = asking(server)
    with pytest.raises(Stop, match="401") as error:
        client.get("")
    assert len(server.received) == 1
    shown = f"{error.value!r} {client!r} {client.__dict__!r}"
    assert TOKEN not in shown
    assert TOKEN_AS_SENT not in shown


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_an_error_about_the_thing_asked_for_is_an_answer(status: int, serving: Serving, asking: Asking) -> None:
    error = {
        "_type": "Error",
        "errorIdentifier": "urn:openproject-org:api:v3:errors:NotFound",
        "message": "Introuvable.",
    }
    server = serving(answer(status, error))
    got = asking(server).get("/work_packages/1")
    assert (got.status, got.ok, got.error.identifier, got.error.message) == (status, False, "NotFound", "Introuvable.")
