-- wrk: an event with a real signature of the key over another body: the whole verification is done.
wrk.method = "POST"
wrk.path = "/sendgrid"
wrk.headers["Host"] = "hooks.example.com"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Twilio-Email-Event-Webhook-Timestamp"] = "1600112502"
wrk.headers["X-Twilio-Email-Event-Webhook-Signature"] =
  "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
wrk.body = "[" .. string.rep('{"email":"a@example.com","event":"open"},\r\n', 15) .. "{}]\r\n"
