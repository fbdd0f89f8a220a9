"""Pickle:30, the Flask application of Twilio's article: a home-made check, a decorator, a hotline.

What it does, and how it checks, is the article's, its slips included. Only the weather API's address
can be set, because tests have one of their own.
"""

import base64
import functools
import hmac
import os
import re
from hashlib import sha1

import requests
import us
from flask import Flask, Response, request
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import VoiceResponse

TWILIO_AUTH_TOKEN = os.environ["TWILIO_AUTH_TOKEN"]
WEATHER_API_KEY = os.environ["WEATHER_API_KEY"]
WEATHER_API = os.environ.get("WEATHER_API", "https://api.openweathermap.org")

app = Flask(__name__)


@app.route("/")
def hello_world():
    return "Ahoy, World!"


@app.route("/twiml", methods=["POST"])
def twiml():
    try:
        twil_sig = request.headers["X-Twilio-Signature"]
    except KeyError:
        return "No X-Twilio-Signature. This request likely did not originate from Twilio.", 418
    domain = re.sub("http", "https", request.url)
    if not request.form:
        return "Bad Request - no form params", 400
    for name, value in sorted(request.form.items()):
        domain += name + value
    mac = hmac.new(TWILIO_AUTH_TOKEN.encode(), domain.encode("utf-8"), sha1)
    if base64.b64encode(mac.digest()).decode("utf-8").strip() != twil_sig:
        return "Signature does not match", 403
    answer = "<Response><Say>Huzzah! The Signature has been validated!</Say></Response>"
    return Response(answer, mimetype="application/xml")


def validate_twilio_request():
    def extra(view):
        @functools.wraps(view)
        def decorated(*args, **kwargs):
            validator = RequestValidator(TWILIO_AUTH_TOKEN)
            # The article's lstrip also eats the first letters of a host that begins with h, t or p.
            https_url = "https://" + request.url.lstrip("http://")
            twilio_signature = request.headers.get("X-Twilio-Signature")
            if not twilio_signature:
                return Response("No signature", 500)
            if not validator.validate(https_url, request.form, twilio_signature):
                return Response("Incorrect signature", 403)
            return view(*args, **kwargs)

        return decorated

    return extra


@app.route("/decorator_test", methods=["POST"])
@validate_twilio_request()
def decorator_test():
    answer = VoiceResponse()
    answer.say("Signature is validated!")
    return Response(str(answer), mimetype="application/xml")


# Without a check: each request costs two calls to the weather API.
@app.route("/weather", methods=["POST"])
def weather():
    try:
        city = request.form["CallerCity"]
        state = request.form["CallerState"]
        country = request.form["CallerCountry"]
    except KeyError:
        city, state, country = "San Francisco", "CA", "US"
    place = {"q": f"{city},{state},{country}", "limit": 100, "appid": WEATHER_API_KEY}
    for found in requests.get(f"{WEATHER_API}/geo/1.0/direct", place, timeout=5).json():
        if found["state"] == us.states.lookup(state).name:
            point = {"lat": found["lat"], "lon": found["lon"], "units": "imperial", "appid": WEATHER_API_KEY}
            now = requests.get(f"{WEATHER_API}/data/2.5/weather", point, timeout=5).json()
            say = f"Thank you for calling the weather hotline. The temperature in {city} is {now['main']['temp']} degrees."
            return Response(f"<Response><Say>{say}</Say></Response>", mimetype="application/xml")
    return Response("<Response><Say>No weather there.</Say></Response>", mimetype="application/xml")
