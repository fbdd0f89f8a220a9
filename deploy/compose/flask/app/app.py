from flask import Flask, Response

app = Flask(__name__)


@app.route("/twiml", methods=["POST"])
def twiml():
    return Response("<Response><Say>Huzzah!</Say></Response>", mimetype="application/xml")
