//! The text below the options of each command: the variables that it reads, its defaults, examples.

pub(super) const RUN: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token, where no file names others
  GATEKEEPER_LOG     The log's level: error, warn, info (default), debug or trace
  NO_COLOR           No colours on a terminal

Without a file there is one route, /*, and it listens on 127.0.0.1:8080 by default.
The log goes to standard error, as text on a terminal and as JSON elsewhere.

Examples:
  gatekeeper run --upstream http://127.0.0.1:3030 --public-url https://hooks.example.com
  gatekeeper run -c gatekeeper.toml";

pub(super) const DEMO: &str = "\
Needs no token, no file and no free port: it makes its own.

Examples:
  gatekeeper demo
  gatekeeper demo --once";

pub(super) const CHECK: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token, where no file names others

Exits with 0, or with 78 for a faulty configuration.

Examples:
  gatekeeper check -c gatekeeper.toml
  gatekeeper check --upstream http://127.0.0.1:3030 --public-url https://hooks.example.com";

pub(super) const SIGN: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token to sign with

Examples:
  gatekeeper sign https://hooks.example.com/sms -d From=+14158675309 -d Body=Hello
  gatekeeper sign https://hooks.example.com/events --body events.json --curl";

pub(super) const SEND: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token to sign with

By default it sends a GET, or with -d a form POST, to the URL's own host. It exits with 1 from status
400 on, and says why where it can read the gate's configuration.

Examples:
  gatekeeper send http://localhost:8080/voice --preset voice
  gatekeeper send https://hooks.example.com/sms -d Body=Hello --to http://127.0.0.1:8080";

pub(super) const EXPLAIN: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token, where the configuration names it

Exits with 0 if the request would pass or a cause is named, and with 1 if none is found.

Examples:
  gatekeeper explain -c gatekeeper.toml --request request.txt
  gatekeeper explain https://hooks.example.com/sms --signature 0/KCTR6DLpKmkAf8muzZqo1nDgQ= -d Body=Hello";

pub(super) const DOCTOR: &str = "\
Environment:
  TWILIO_AUTH_TOKEN  The auth token, where no file names others

Run it on the gate's machine while the gate runs with an admin listener ([admin] listen). It exits with
1 if any line says FAIL. It trusts the system's CAs by default.

Examples:
  gatekeeper doctor -c gatekeeper.toml
  gatekeeper doctor --resolve hooks.example.com:443:127.0.0.1 --cacert ca.pem";

pub(super) const HEALTH: &str = "\
By default it reads the address from gatekeeper.toml.

Examples:
  gatekeeper health
  gatekeeper health --url http://127.0.0.1:9090";

pub(super) const SCHEMA: &str = "\
Examples:
  gatekeeper schema > gatekeeper.schema.json
  gatekeeper schema | less";

pub(super) const COMPLETIONS: &str = "\
Examples:
  gatekeeper completions bash > /etc/bash_completion.d/gatekeeper
  gatekeeper completions zsh > _gatekeeper";

pub(super) const MAN: &str = "\
Examples:
  gatekeeper man /usr/local/share/man/man1
  gatekeeper man target/man";
