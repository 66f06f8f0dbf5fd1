"""One HTTP session to one OpenProject: who we are, how long we wait, what we ask again, and which errors mean what.

It knows no work packages. Nothing is written while ``dry_run`` is on, no redirect is followed, no cookie is kept, and a
request that writes is never repeated.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

import orjson
import requests
import tenacity
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict

from bridge import __version__
from bridge.errors import ConfigError, RetryLater, Stop
from bridge.openproject import resources
from bridge.openproject.credentials import Credentials

API: Final = "/api/v3"
TOKEN: Final = "/oauth/token"  # noqa: S105  an address

CONNECTIONS = 2
"""Two keep an OpenProject process busy, more only queue there (contract A.1)."""

PIECE = 256 * 1024
"""Bytes read at once; between two pieces the bounds are looked at."""


class Unavailable(RetryLater):
    """No answer, a passing error, or half an answer: worth asking again, now or in the next cycle."""

    def __init__(self, message: str, *, status: int | None = None, after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.after = after
        """Seconds that the server asked for by Retry-After."""


class Misconfigured(RetryLater):
    """Something is set up wrongly, here or there: the address, the certificate, a proxy in between, a permission.

    At start the operator must put it right; later it may pass by itself, like a proxy's maintenance page.
    """


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one call. Times in seconds."""

    connect: float = 5.0
    read: float = 130.0
    """Between two pieces of an answer. OpenProject itself gives up after 120 s (contract §11)."""
    whole: float = 300.0
    """For a call with all its repetitions and pauses, and for the body of one answer."""
    attempts: int = 5
    """How often a GET is asked in all."""
    body: int = 32 * 1024 * 1024
    """Bytes of one answer, unpacked: ten times what the largest page of the bridge's own requests holds."""
    rest: float = 3600.0
    """The longest Retry-After that is believed: a wrong one must not silence the bridge for ever."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What this client has cost the server so far."""

    requests: int = 0
    writes: int = 0
    """Requests that were not GET, the OAuth token's included."""
    received: int = 0
    """Bytes of answers' bodies, as they travelled."""
    repeated: int = 0
    """Requests that were asked again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the API: 2xx, or an error that is about the thing asked for."""

    status: int
    body: object
    """Decoded JSON; None where there is none."""
    date: datetime | None
    """The server's clock (``Date``), to the second; OpenProject sends none itself, its proxy does."""

    @property
    def ok(self) -> bool:
        """True when the request was granted."""
        return 200 <= self.status < 300

    @property
    def error(self) -> resources.ApiError:
        """What the API objects to."""
        return resources.error(self.body)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request with the time by which its last repetition must be over."""

    method: str
    url: str
    what: str
    """For messages: the method and the path, without host, query and body."""
    deadline: float
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _Session(requests.Session):
    """A session that two threads may share: sending changes nothing in it.

    ``requests`` follows redirects and keeps cookies in ``send``; this one hands the request to the adapter and does
    neither, so that a token cannot follow a redirect and no state is shared. It is also the one door that a dry run
    shuts: whatever is built on top, a writing request does not leave.
    """

    def __init__(self, base: str, *, dry_run: bool) -> None:
        super().__init__()
        # The environment must not override the settings: proxies, CA bundles and .netrc logins would (requests #3829).
        self.trust_env = False
        self.trusted: bool | str = True
        self._token_url = f"{base}{TOKEN}"
        self._dry_run = dry_run

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
        url = request.url or ""
        if self._dry_run and request.method != "GET" and not self._writes_nothing(request.method, url):
            raise Stop(f"Dry run: {request.method} {urlsplit(url).path} was not sent")
        adapter = self.get_adapter(url)
        timeout = kwargs.get("timeout")
        return adapter.send(
            request,
            stream=True,
            timeout=timeout,  # type: ignore[arg-type]  # as requests.Session.send passes it through
            verify=self.trusted,
            proxies=self.proxies,
        )

    def _writes_nothing(self, method: str | None, url: str) -> bool:
        """A form validates without saving (contract §6.5), and a token is needed to read."""
        return method == "POST" and (url == self._token_url or urlsplit(url).path.endswith("/form"))


class Client:
    """Asks one OpenProject. Two threads may use it at once: after construction only counters change, under a lock.

    ``base_url`` is where the server is reached, a path in front included (contract §13.2); ``public_url`` is what its
    users type, where that differs: the server checks the host and the scheme that it is asked by (§13.3). ``ca`` is a
    file of certificates to trust instead of the usual ones; ``proxy`` a proxy's address. ``sleep`` must return early
    when ``stop`` is set, which the default does, and ``monotonic`` must go on while it sleeps.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        public_url: str | None = None,
        timeouts: Timeouts = Timeouts(),
        ca: Path | str | None = None,
        proxy: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        stop: threading.Event | None = None,
        sleep: Callable[[float], object] | None = None,
        adapter: BaseAdapter | None = None,
        dry_run: bool = False,
    ) -> None:
        address = _address(base_url)
        self.base_url: Final = address.geturl()
        self.dry_run: Final = dry_run
        self._credentials = credentials
        self._timeouts = timeouts
        self._clock = clock
        self._monotonic = monotonic
        self._stop = stop or threading.Event()
        self._sleep = sleep or self._stop.wait
        self._rest_until = float("-inf")
        self._usage = Usage()
        self._counting = threading.Lock()
        self._headers = {
            "Accept": "application/hal+json",
            "Accept-Encoding": "gzip",
            # Only counts for an account without a language of its own (contract §3.3): one that activity_text knows.
            "Accept-Language": "fr",
            "User-Agent": f"openproject-bridge/{__version__}",
        }
        if public_url is not None:
            public = _address(public_url)
            self._headers |= {"Host": public.netloc, "X-Forwarded-Proto": public.scheme}
        self._session = _Session(self.base_url, dry_run=dry_run)
        self._session.trusted = _existing(ca) if ca is not None else True
        if proxy is not None:
            self._session.proxies = {"http": proxy, "https": proxy}
        if adapter is None:
            # One retry policy, ours: the adapter's own would not know Retry-After's bound or the stop event.
            adapter = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, pool_block=True, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            wait=self._pause,
            stop=self._enough,
            sleep=self._sleep_unless_stopping,
            before_sleep=self._count_repetition,
            reraise=True,
        )

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    @property
    def usage(self) -> Usage:
        """What has been spent since construction."""
        return self._usage

    def now(self) -> datetime:
        """The local clock, for where the server tells no time."""
        return self._clock()

    def get(self, path: str, params: Mapping[str, str] | None = None, *, repeat: bool = True) -> Answer:
        """Read. Asks again on passing errors while time and attempts last, unless ``repeat`` is off.

        Raises Unavailable or Misconfigured (both RetryLater), or Stop when the server refuses the token.
        """
        call = self._call("GET", path, params)
        return self._sent(call) if not repeat else self._resting(self._retrying, self._sent, call)

    def write(self, method: str, path: str, body: object, params: Mapping[str, str] | None = None) -> Answer:
        """Send something that may change the server, once. An Unavailable leaves open whether it did: look there.

        Raises as ``get`` does.
        """
        call = self._call(method, path, params)
        call = replace(call, body=orjson.dumps(body), headers={"Content-Type": "application/json"})
        return self._resting(self._sent, call)

    # --- Sending ----------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, params: Mapping[str, str] | None = None) -> _Call:
        url = f"{self.base_url}{API}{path}"
        if params:
            url = f"{url}?{urlencode(params)}"
        return _Call(method, url, f"{method} {API}{path}", self._monotonic() + self._timeouts.whole)

    def _resting(self, send: Callable[..., Answer], *args: object) -> Answer:
        """Send, and leave the server alone from then on for as long as it asked."""
        try:
            return send(*args)
        except Unavailable as error:
            if error.after is not None:
                self._rest_until = self._monotonic() + min(error.after, self._timeouts.rest)
            raise

    def _sent(self, call: _Call) -> Answer:
        answer = self._once(call)
        if answer.status == 401 and self._credentials.refused():
            answer = self._once(call)
        if answer.status == 401:
            raise Stop(
                f"{call.what}: OpenProject refuses the credentials (401). "
                "The token is wrong or revoked, its account is locked, or the API is switched off: check them there"
            )
        return answer

    def _ask_for_token(self, form: bytes) -> Mapping[str, object]:
        call = _Call(
            "POST",
            f"{self.base_url}{TOKEN}",
            f"POST {TOKEN}",
            self._monotonic() + self._timeouts.whole,
            form,
            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        )
        answer = self._once(call)
        if not answer.ok or not isinstance(answer.body, dict):
            raise Stop(
                f"{call.what}: OpenProject gives no OAuth token ({answer.status}). "
                "Check the client id and secret, and that the application is enabled and has a client credentials user"
            )
        return answer.body

    def _prepared(self, call: _Call) -> requests.PreparedRequest:
        """The request, built here rather than by ``requests``, which would take a third of a call's time.

        The secret is in no variable of a frame that an error can come from: tracebacks may print those.
        """
        request = requests.PreparedRequest()
        request.method = call.method
        request.url = call.url
        request.body = call.body
        request.headers = CaseInsensitiveDict({**self._headers, **call.headers})
        if call.body is not None:
            request.headers["Content-Length"] = str(len(call.body))
        if call.url != self.base_url + TOKEN:
            request.headers["Authorization"] = self._credentials.authorization(self._ask_for_token)
        return request

    def _once(self, call: _Call) -> Answer:
        """One request and its whole answer, or what is wrong with it."""
        resting = self._rest_until - self._monotonic()
        if resting > 0:
            raise RetryLater(f"{call.what}: not sent, the server asked to be left alone for {resting:.0f} s more")
        request = self._prepared(call)
        response = None
        body = None
        try:
            response = self._session.send(request, timeout=(self._timeouts.connect, self._timeouts.read))
            body = self._body(response, call)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _unanswered(call, error) from error
        finally:
            if response is not None and body is None:
                # Half read: the rest must not be taken for the next answer.
                response.close()
            self._count(call, response)
        return self._judged(call, response, body)

    def _body(self, response: requests.Response, call: _Call) -> bytes:
        """The whole body, unpacked, within its bounds. A byte a minute must not hold a connection for ever."""
        pieces: list[bytes] = []
        size = 0
        deadline = self._monotonic() + self._timeouts.whole
        while piece := response.raw.read1(PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > self._timeouts.body:
                raise Misconfigured(f"{call.what}: the answer does not end after {self._timeouts.body} bytes")
            if self._monotonic() > deadline:
                raise Unavailable(f"{call.what}: the answer does not end after {self._timeouts.whole:.0f} s")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _judged(self, call: _Call, response: requests.Response, body: bytes) -> Answer:
        """What the answer means to the caller, before anybody reads what it says."""
        status = response.status_code
        date = _http_date(response.headers.get("Date"))
        if status == 429 or status >= 500:
            after = _retry_after(response.headers.get("Retry-After"), date or self._clock())
            raise Unavailable(f"{call.what}: the server answers {status}, try again later", status=status, after=after)
        if 300 <= status < 400:
            raise Misconfigured(f"{call.what}: {_redirect(response)}")
        if status == 401 or not body:
            return Answer(status, None, date)
        if "json" not in response.headers.get("Content-Type", ""):
            raise _no_json(call, status, response.headers.get("Content-Type", ""), body)
        try:
            return Answer(status, orjson.loads(body), date)
        except orjson.JSONDecodeError:
            raise Unavailable(f"{call.what}: the answer ({status}) is no complete JSON", status=status) from None

    # --- Asking again -----------------------------------------------------------------------------------------------

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt: what the server asked for, and at least a growing, jittered pause."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.after if isinstance(error, Unavailable) and error.after is not None else 0.0
        return max(min(asked, self._timeouts.rest), _JITTER(state))

    def _sleep_unless_stopping(self, seconds: float) -> None:
        self._sleep(seconds)
        if self._stop.is_set():
            raise RetryLater("Stopping: the request is not asked again")

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        """Give up: attempts or time are used, or the next attempt would come too late."""
        call = state.args[-1]
        in_time = isinstance(call, _Call) and self._monotonic() + state.upcoming_sleep <= call.deadline
        return state.attempt_number >= self._timeouts.attempts or self._stop.is_set() or not in_time

    # --- Counting ---------------------------------------------------------------------------------------------------

    def _count(self, call: _Call, response: requests.Response | None) -> None:
        received = response.raw.tell() if response is not None else 0
        with self._counting:
            was = self._usage
            self._usage = replace(
                was,
                requests=was.requests + 1,
                writes=was.writes + (call.method != "GET"),
                received=was.received + received,
            )

    def _count_repetition(self, state: tenacity.RetryCallState) -> None:  # noqa: ARG002  tenacity's signature
        with self._counting:
            self._usage = replace(self._usage, repeated=self._usage.repeated + 1)


_JITTER = tenacity.wait_random_exponential(multiplier=0.5, max=30)
"""Full jitter, so that bridges which a restart hit together do not come back together."""


def _address(url: str) -> SplitResult:
    """An OpenProject's address, as people paste it, without what it must not hold."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("The OpenProject address must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("The OpenProject address must not hold a user or a password: set the token instead")
    if parts.query or parts.fragment:
        raise ConfigError("The OpenProject address must not hold a '?' or a '#': give the start page's address")
    return parts._replace(path=parts.path.rstrip("/").removesuffix(API).rstrip("/"))


def _existing(ca: Path | str) -> str:
    if not Path(ca).is_file():
        raise ConfigError(f"The file of trusted certificates {str(ca)!r} does not exist or cannot be read")
    return str(ca)


def _unanswered(call: _Call, error: BaseException) -> RetryLater:
    """Why no answer came. The libraries' own messages are left out: they repeat headers and addresses with queries."""
    if _caused_by(error, ssl.SSLCertVerificationError):
        return Misconfigured(
            f"{call.what}: the server's certificate is not accepted (another name, expired, or an authority that is "
            "not trusted). Nothing was sent. Check the address, or name the authority's certificate in the settings"
        )
    if _caused_by(error, requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return Unavailable(f"{call.what}: the proxy does not let the request through")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return Misconfigured(f"{call.what}: the OpenProject address cannot be used")
    if _caused_by(error, urllib3.exceptions.NameResolutionError):
        return Unavailable(f"{call.what}: the host of the OpenProject address is not known here")
    if _caused_by(error, urllib3.exceptions.NewConnectionError):
        return Unavailable(f"{call.what}: no connection to the server. Is it running at that address?")
    if _caused_by(error, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        return Unavailable(f"{call.what}: no answer in time")
    return Unavailable(f"{call.what}: the connection broke ({type(error).__name__})")


def _caused_by(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Is one of these anywhere in what led to the error? urllib3 and requests wrap in arguments and in attributes."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        here = todo.pop()
        if not isinstance(here, BaseException) or id(here) in seen:
            continue
        if isinstance(here, kinds):
            return True
        seen.add(id(here))
        todo += [here.__cause__, here.__context__, getattr(here, "reason", None), *here.args]
    return False


def _redirect(response: requests.Response) -> str:
    """Where a redirect leads, without path and query: they may hold something secret."""
    target = urlsplit(response.headers.get("Location", ""))
    where = f"to {target.scheme}://{target.netloc}" if target.netloc else "elsewhere"
    return (
        f"the server redirects {where}, and redirects are not followed. If that is your OpenProject, set that address; "
        "behind an internal address, set the public one beside it"
    )


def _no_json(call: _Call, status: int, content_type: str, body: bytes) -> RetryLater:
    if body.startswith(b"Invalid host_name configuration"):
        return Misconfigured(
            f"{call.what}: OpenProject does not know itself by this host name ({status}). "
            "Set the public address as well, or add the name to OPENPROJECT_ADDITIONAL__HOST__NAMES there"
        )
    kind = content_type.partition(";")[0] or "something without a content type"
    return Misconfigured(
        f"{call.what}: answered {status} with {kind} instead of JSON. "
        "Is this the address of an OpenProject, or does a proxy answer in its place?"
    )


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds, from either form (RFC 9110 §10.2.3). A date counts from the server's own ``Date``: clocks differ."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    date = _http_date(text)
    return max((date - now).total_seconds(), 0.0) if date is not None else None
