"""The article's attack: an endless loop against the hotline, here with an end."""

from concurrent.futures import ThreadPoolExecutor

from running import Connection, ask
from signing import form, get

LOOPS = 4
TURNS = 250


def loop(gate, _):
    """Unsigned GETs and forged POSTs, one after the other, as fast as they are answered."""
    connection, seen = Connection(gate.port), set()
    forgeries = [
        {"sign": lambda *_: "A" * 27 + "="},
        {"token": "00000000000000000000000000000000"},
        {"sign": lambda url, *_: form("/sms").headers()["X-Twilio-Signature"]},
    ]
    for turn in range(TURNS):
        seen.add(("GET", get("/weather").to(connection, None).status))
        seen.add(("POST", form("/weather").to(connection, **forgeries[turn % len(forgeries)]).status))
    return seen


def test_attack_behind_the_gate_makes_no_weather_api_call(before_flask, flask, weather_api):
    calls, requests = weather_api.calls, flask.requests()
    with ThreadPoolExecutor(LOOPS) as pool:
        attack = pool.map(lambda number: loop(before_flask, number), range(LOOPS))
        before_flask.wait_for(lambda: len(before_flask.logged("request")) > LOOPS * TURNS // 2, "the attack")
        assert weather_api.calls == calls
        genuine = form("/weather").to(Connection(before_flask.port))
        under_attack = len(before_flask.logged("request")) < LOOPS * TURNS * 2
        answers = set().union(*attack)
    assert under_attack, "the attack was over before the genuine call"
    assert genuine.status == 200 and "61.3 degrees" in genuine.text, genuine
    assert answers == {("GET", 418), ("POST", 403)}
    assert weather_api.calls == calls + 2, "one call for the place and one for its weather, for the genuine call"
    assert flask.requests() == requests + 1


def test_attack_without_the_gate_reaches_the_weather_api(flask, weather_api):
    """Control: the attack has an effect without the gate."""
    calls = weather_api.calls
    assert ask(flask.port, "POST", "/weather", form("/weather").body, form("/weather").headers(None)).status == 200
    assert weather_api.calls == calls + 2
