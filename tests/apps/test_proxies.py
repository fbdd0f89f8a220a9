"""Behind proxies that end TLS: Caddy, nginx and HAProxy, configured like ngrok, an ALB and cloudflared."""

import asyncio

import pytest
import websockets
from proxies import FORWARDED, TUNNEL, Caddy, Haproxy, Nginx
from running import EVERY_HOST, HOST, Connection, Gate, guarded, trusting, tunnelled
from signing import by_node, by_python, form, get, handshake, hashed

OTHER_TOKEN = "00000000000000000000000000000000"
PROXIES = pytest.mark.parametrize("kind", [Caddy, Nginx, Haproxy])
# Every byte of this target is signed, and proxies normalise URLs in different ways.
QUERY = "?a=1&b=%27x'+y%20z&c=(1)*~&@=:&plus=%2B&empty=&SpeechResult=%c3%BC"


@pytest.fixture
def chain(express, tmp_path):
    """Starts a gate before Express and a proxy before the gate; yields connections to the proxy."""
    started = []

    def start(kind, manner, more="", public_url=f"https://{HOST}", **how):
        if reason := kind.missing():
            pytest.fail(reason)
        config = tunnelled(express.port) if manner == TUNNEL else guarded(express.port, more, public_url)
        gate = Gate(tmp_path, config)
        started.append(gate)
        proxy = kind(tmp_path, gate.port, manner, **how)
        started.append(proxy)
        return gate, proxy

    yield start
    for process in reversed(started):
        process.stop()


def judge(gate, proxy, express, path, origin=f"https://{HOST}"):
    """Signed requests pass the check of the app; all others are refused by the gate."""
    connection = Connection(proxy.port, proxy.authority)
    proven = [form(path, origin=origin), form(path + QUERY, origin=origin), get(path + QUERY, origin=origin)]
    for webhook in proven:
        for sign in (by_python, by_node):
            answer = webhook.to(connection, sign)
            assert answer.status == 200 and "<Response><Say>Ahoy" in answer.text, (webhook.url, answer, proxy.said())
    before = express.seen()
    assert proven[2].to(connection, None).status == 418
    assert proven[1].to(connection, token=OTHER_TOKEN).status == 403
    elsewhere = form(path, origin="https://other.example")
    assert elsewhere.to(connection).status == 403
    assert express.seen() == before
    # The app's own check took the form with `+` and `%20` in the query, so nothing respelled it.
    logged = gate.logged("request")
    assert {line["candidate"] for line in logged if line["verdict"] == "admitted"} == {"received"}


def echo(proxy, path, headers):
    """Opens a WebSocket through proxy and gate; returns the echoed messages."""

    async def stream():
        address = {"host": "127.0.0.1", "port": proxy.port, "ssl": trusting(proxy.authority), "proxy": None}
        async with websockets.connect(f"wss://{HOST}{path}", additional_headers=headers, **address) as peer:
            await peer.send("text")
            await peer.send(bytes(range(256)))
            return [await peer.recv(), await peer.recv()]

    return asyncio.run(stream())


def judge_handshakes(proxy, path="/echo"):
    assert echo(proxy, path, {"x-twilio-signature": handshake(path)}) == ["text", bytes(range(256))]
    for headers, status in (({}, 418), ({"x-twilio-signature": handshake(path, OTHER_TOKEN)}, 403)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            echo(proxy, path, headers)
        assert refused.value.response.status_code == status


@PROXIES
@pytest.mark.parametrize("manner", FORWARDED)
def test_request_is_admitted_when_the_proxy_keeps_host(chain, express, kind, manner):
    gate, proxy = chain(kind, manner)
    judge(gate, proxy, express, "/trusting")
    judge_handshakes(proxy)
    events = hashed("/events", [{"id": "EZ1"}]).to(Connection(proxy.port, proxy.authority))
    assert (events.status, events.text) == (200, '{"events":1}')


@PROXIES
def test_request_is_admitted_when_the_proxy_rewrites_host_to_a_listed_name(chain, express, kind):
    gate, proxy = chain(kind, "cloudflared", 'allowed_hosts = ["localhost:8080"]', host="localhost:8080")
    judge(gate, proxy, express, "/named")
    judge_handshakes(proxy)


@PROXIES
def test_request_is_refused_when_the_proxy_rewrites_host_to_an_unlisted_name(chain, express, kind):
    gate, proxy = chain(kind, "cloudflared", host="localhost:8080")
    before = express.seen()
    assert form("/named").to(Connection(proxy.port, proxy.authority)).status == 403
    assert gate.reasons(1) == ["unknown_host"]
    assert express.seen() == before


def named(day):
    return EVERY_HOST.replace("*", day)


class Tunnelled(Connection):
    """Sends a request with a host name other than HOST."""

    def __init__(self, name, *more, **how):
        super().__init__(*more, **how)
        self.name = name

    def request(self, method, target, body, headers):
        super().request(method, target, body, {**headers, "Host": self.name})


@PROXIES
@pytest.mark.parametrize("host", [None, "localhost:8080"])
def test_trusted_tunnel_sets_the_public_host(chain, express, kind, host):
    gate, proxy = chain(kind, TUNNEL, host=host)
    monday, tuesday = (Tunnelled(named(day), proxy.port, proxy.authority) for day in ("monday", "tuesday"))
    for connection in (monday, tuesday):
        origin = f"https://{connection.name}"
        for webhook in (form("/told", origin=origin), form("/told" + QUERY, origin=origin), get("/told" + QUERY, origin=origin)):
            answer = webhook.to(connection)
            assert answer.status == 200 and "Ahoy" in answer.text, (webhook.url, answer, gate.said(), proxy.said())
    before = express.seen()
    of_monday = get("/told", origin=f"https://{monday.name}")
    assert of_monday.to(tuesday).status == 403, "another day's"
    assert get("/told", origin=f"http://{monday.name}").to(monday).status == 403, "http is not what was told"
    assert of_monday.to(monday, None).status == 418
    # An unlisted name is refused in spite of a valid signature.
    for name in ("evil.example", "ngrok.app", "monday.ngrok.app.evil.example"):
        stranger = Tunnelled(name, proxy.port, proxy.authority)
        assert get("/told", origin=f"https://{name}").to(stranger).status == 403, name
    # The proxy replaces the headers of the client.
    told = {"X-Forwarded-Host": monday.name, "X-Forwarded-Proto": "https", **of_monday.headers()}
    stranger = Tunnelled("evil.example", proxy.port, proxy.authority)
    assert stranger.ask("GET", "/told", None, told).status == 403
    assert express.seen() == before
    refused = sorted(reason for reason in gate.reasons(13) if reason)
    assert refused == ["missing_signature"] + ["signature_mismatch"] * 2 + ["unknown_host"] * 4
    judge_handshakes(proxy)


def test_forwarded_headers_from_an_unlisted_proxy_are_ignored(express, tmp_path):
    webhook = get("/told", origin=f"https://{HOST}")
    told = {"X-Forwarded-Host": HOST, "X-Forwarded-Proto": "https", **webhook.headers()}
    with Gate(tmp_path, tunnelled(express.port)) as gate:
        before = express.seen()
        assert Connection(gate.port, source="127.0.0.2").ask("GET", "/told", None, told).status == 403
        assert express.seen() == before
        assert gate.reasons(1) == ["unknown_host"]
        assert gate.logged("request")[0]["peer"] == "127.0.0.2"
        assert Connection(gate.port, source="127.0.0.1").ask("GET", "/told", None, told).status == 200


class Prefixed(Connection):
    def request(self, method, target, *more):
        super().request(method, "/prefix" + target, *more)


@PROXIES
def test_request_is_admitted_when_the_proxy_strips_a_prefix(chain, express, kind):
    origin = f"https://{HOST}/prefix"
    gate, proxy = chain(kind, "alb", public_url=origin, strip=True)
    connection = Prefixed(proxy.port, proxy.authority)
    for target in ("/prefixed", "/prefixed" + QUERY):
        for webhook in (form(target, origin=origin), get(target, origin=origin)):
            answer = webhook.to(connection)
            assert answer.status == 200 and "under a prefix" in answer.text, (webhook.url, answer, proxy.said())
    before = express.seen()
    assert get("/prefixed", origin=origin).to(connection, None).status == 418
    assert form("/prefixed").to(connection).status == 403, "the prefix is signed too"
    assert express.seen() == before
    assert gate.logged("request")[0]["path"] == "/prefixed"


@PROXIES
def test_next_request_after_a_refused_post_is_answered(chain, kind):
    """A proxy sends the requests of many clients over one connection to the gate."""
    gate, proxy = chain(kind, "ngrok")
    connection = Connection(proxy.port, proxy.authority)
    statuses = []
    for turn in range(100):
        statuses.append(form("/trusting").to(connection, None if turn % 2 == 0 else by_python).status)
    assert statuses == [418, 200] * 50
