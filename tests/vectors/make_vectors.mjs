// Reads vectors from stdin, signs those left to Twilio's Node SDK, adds what this SDK answers to each.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parse } from "node:querystring"; // what express.urlencoded uses; unlike a plain object it keeps __proto__

const require = createRequire(new URL(".cache/", import.meta.url));
const twilio = require("twilio");
const { version } = require("twilio/package.json");

const params = (form) => parse(form, "&", "=", { maxKeys: 0 });
const mediaType = (v) => (v.content_type ?? "").split(";")[0].trim().toLowerCase();

function sign(v) {
  const { token, url, form } = v.sign;
  v.signature = twilio.getExpectedTwilioSignature(token, url, params(form));
  v.source = `generated: twilio ${version} (npm) getExpectedTwilioSignature`;
}

// What Express leaves in request.body; a body that no parser knows is an empty object.
function parsedBody(v, raw) {
  if (mediaType(v) === "application/x-www-form-urlencoded") return params(raw);
  if (mediaType(v) === "application/json" && /^\s*[[{]/.test(raw)) {
    try {
      return JSON.parse(raw);
    } catch {
      return {};
    }
  }
  return {};
}

// As twilio.webhook() decides it, `|| "{}"` included.
function answer(v) {
  const raw = v.body_b64 ? Buffer.from(v.body_b64, "base64").toString() : v.body;
  try {
    return v.url.includes("bodySHA256")
      ? twilio.validateRequestWithBody(v.token, v.signature, v.url, raw || "{}")
      : twilio.validateRequest(v.token, v.signature, v.url, parsedBody(v, raw));
  } catch (error) {
    return `error:${error.constructor.name}`;
  }
}

const vectors = JSON.parse(readFileSync(0, "utf8"));
for (const v of vectors) {
  if (v.sign.by === "node") sign(v);
  v.node = answer(v);
}
process.stdout.write(JSON.stringify(vectors));
