# docker build -t gatekeeper .
# docker run -p 8080:8080 -e TWILIO_AUTH_TOKEN -v "$PWD/gatekeeper.toml:/etc/gatekeeper/gatekeeper.toml:ro" gatekeeper
#
# Inside a container the file must say listen = "0.0.0.0:8080".
# Both bases should be of one Debian release: the binary uses the C library that it was built with.
ARG BUILD_BASE=rust:1.95-bookworm
ARG RUNTIME_BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS build
WORKDIR /build
# The dependencies alone first: this layer is built anew only when Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && echo 'fn main() {}' | tee src/main.rs > benches/core.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
# Then the real source. `touch`, because cargo goes by time and these files may be older than the
# placeholders were. benches/core.rs stays a placeholder: Cargo.toml names it.
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin gatekeeper

FROM ${RUNTIME_BASE}
COPY --from=build /build/target/release/gatekeeper /usr/local/bin/gatekeeper
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["gatekeeper", "run", "-c", "/etc/gatekeeper/gatekeeper.toml"]
