"""The article's application and an Express one: behind the gate, their own checks go on passing."""

import pytest
from conftest import Express, Validating
from running import HOST, TOKEN, Connection, Gate, ask, guarded
from signing import CALL, by_node, by_python, form, get, hashed

OTHER_TOKEN = "00000000000000000000000000000000"
SIGNERS = pytest.mark.parametrize("sign", [by_python, by_node])
FLASK = {
    "/twiml": "Huzzah! The Signature has been validated!",
    "/decorator_test": "Signature is validated!",
    "/weather": "The temperature in SAN FRANCISCO is 61.3 degrees.",
}
TRICKY = "/voice?a=1&b=%27x'+y%20z&c=(1)*~&@=:&plus=%2B"


@SIGNERS
@pytest.mark.parametrize("path", FLASK)
def test_signed_request_gets_twiml_from_flask(before_flask, sign, path):
    answer = form(path).to(Connection(before_flask.port), sign)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"].startswith("application/xml")
    assert f"<Response><Say>" in answer.text and FLASK[path] in answer.text


@SIGNERS
def test_signed_get_and_query_are_forwarded(before_flask, sign):
    connection = Connection(before_flask.port)
    assert get("/").to(connection, sign).text == "Ahoy, World!"
    assert get("/?CallSid=CA1&From=%2B1415").to(connection, sign).status == 200
    # The article's home-made check has the query in its URL too.
    assert form("/twiml?a=b&c=d").to(connection, sign).status == 200


def test_flask_refuses_unsigned_requests_without_the_gate(flask):
    """Control: the responses behind the gate depend on the signature."""
    forged = form("/twiml").headers(token=OTHER_TOKEN)
    body = form("/twiml").body
    assert ask(flask.port, "POST", "/twiml", body, forged).status == 403
    assert ask(flask.port, "POST", "/twiml", body, form("/twiml").headers(None)).status == 418
    assert ask(flask.port, "POST", "/decorator_test", body, forged).status == 403
    assert ask(flask.port, "POST", "/decorator_test", body, form("/").headers(None)).status == 500


@pytest.mark.parametrize("path", ["/", *FLASK])
def test_unproven_requests_never_reach_flask(before_flask, flask, path):
    before = flask.requests()
    assert form(path).to(Connection(before_flask.port), None).status == 418
    connection = Connection(before_flask.port)
    assert get(path).to(connection, None).status == 418
    assert form(path).to(connection, token=OTHER_TOKEN).status == 403
    assert form(path, {}).to(connection).status == 400
    assert form(path).to(connection).status in (200, 405)
    reasons = ["missing_signature", "missing_signature", "signature_mismatch", "no_form_params", None]
    assert before_flask.reasons(5) == reasons
    flask.wait_for(lambda: flask.requests() > before, "gunicorn's line")
    assert flask.requests() == before + 1


@pytest.mark.parametrize(
    ("start", "believing", "doubting"),
    [
        (Validating, {"PROXY_FIX": "1"}, {}),
        (Express, {}, {"TRUST_PROXY": "off"}),
    ],
    ids=["flask", "express"],
)
def test_app_that_checks_its_own_url_needs_the_forwarded_scheme(start, believing, doubting, tmp_path):
    """The app is called over http; only a header that it believes tells it of https."""
    append = 'forwarded_headers = "append"'
    for variables, header, status in [
        (believing, append, 200),
        (believing, "", 403),
        (doubting, append, 403),
        (doubting, "", 403),
    ]:
        with start(**variables) as app, Gate(tmp_path, guarded(app.port, header)) as gate:
            for webhook in (form("/trusting?a=1"), get("/trusting?b=%20")):
                answer = webhook.to(Connection(gate.port))
                assert answer.status == status, (variables, header, answer, app.said())
            assert gate.reasons(2) == [None, None], "the gate admits them, whatever the app says"


def test_app_believes_the_scheme_that_a_proxy_in_front_of_the_gate_states(tmp_path):
    """As behind the shipped nginx file: the gate passes the header on."""
    for start, variables in [(Validating, {"PROXY_FIX": "1"}), (Express, {})]:
        with start(**variables) as app, Gate(tmp_path, guarded(app.port)) as gate:
            webhook = form("/trusting")
            headers = {**webhook.headers(), "X-Forwarded-Proto": "https"}
            answer = ask(gate.port, "POST", "/trusting", webhook.body, headers)
            assert answer.status == 200, (answer, app.said())


@SIGNERS
def test_signed_request_passes_the_express_middleware(before_express, sign):
    connection = Connection(before_express.port)
    repeated = {**CALL, "MediaUrl": ["b", "a", "a"], "10": "ten", "9": "nine"}
    for webhook in (form("/voice"), form("/voice?a=b", repeated), get("/voice?CallSid=CA1"), get("/voice")):
        answer = webhook.to(connection, sign)
        assert answer.status == 200, (webhook.url, answer)
        assert answer.headers["Content-Type"].startswith("text/xml")
        assert "<Response><Say>Ahoy from Express</Say></Response>" in answer.text
    answer = hashed("/events", [{"id": "EZ1"}, {"id": "EZ2"}]).to(connection, sign)
    assert (answer.status, answer.text) == (200, '{"events":2}')


def test_express_refuses_unsigned_requests_without_the_gate(express):
    body, forged = form("/voice").body, form("/voice").headers(token=OTHER_TOKEN)
    assert ask(express.port, "POST", "/voice", body, forged).status == 403
    assert ask(express.port, "POST", "/voice", body, form("/voice").headers(None)).status == 400
    elsewhere = {**form("/voice").headers(), "Host": f"other.{HOST}"}
    assert ask(express.port, "POST", "/voice", body, elsewhere).status == 403


def test_unproven_requests_never_reach_express(before_express, express):
    before = express.seen()
    assert form("/voice").to(Connection(before_express.port), None).status == 418
    connection = Connection(before_express.port)
    assert form("/voice").to(connection, token=OTHER_TOKEN).status == 403
    changed = form("/voice")
    changed.body += "&Extra=1"
    assert changed.to(connection).status == 403
    events = hashed("/events", [1])
    events.body = "[2]"
    assert events.to(connection).status == 403
    assert express.seen() == before
    assert before_express.reasons(4) == ["missing_signature"] + ["signature_mismatch"] * 2 + ["body_not_covered"]


def test_public_route_needs_no_signature(before_express):
    assert ask(before_express.port, "GET", "/health").text == '{"well":true}'


def test_unusual_query_passes_the_express_middleware(before_express):
    answer = get(TRICKY).to(Connection(before_express.port))
    assert answer.status == 200, answer


def test_token_is_not_logged(before_flask):
    form("/twiml").to(Connection(before_flask.port))
    before_flask.reasons(1)
    assert TOKEN not in before_flask.said()
