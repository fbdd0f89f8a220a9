-- wrk: a form of the size that Twilio sends, with a signature that nobody made.
wrk.method = "POST"
wrk.headers["Host"] = "hooks.example.com"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["X-Twilio-Signature"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
wrk.body = string.rep("Body=Hello+world%21&From=%2B15551234567&", 17)
