# docker build -t gatekeeper .
# docker run --read-only -p 127.0.0.1:8080:8080 -v "$PWD/gate:/etc/gatekeeper:ro" gatekeeper
#
# deploy/docker/README.md has the folder `gate` and the rest. amd64 and arm64 are built
# with the same file, each natively.
#
# Any image with cargo, a C compiler and libc.a works, such as one from your own registry.
ARG BUILD_BASE=rust:1.95-bookworm
# The binary is static and needs nothing from this image.
ARG RUNTIME_BASE=scratch

FROM ${BUILD_BASE} AS build
WORKDIR /build
# One static binary, with the C library and name resolution. --target keeps the flag away from
# build scripts and procedural macros.
ENV RUSTFLAGS="-C target-feature=+crt-static"
# The dependencies alone first: this layer is rebuilt only when Cargo.toml or Cargo.lock changes
# (or a bench, which Cargo.toml names).
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin gatekeeper --target "$(rustc --print host-tuple)" \
    && rm -r src
# Then the real source. `touch`, because cargo compares modification times and these files may be older
# than the placeholders.
COPY build.rs ./
COPY src src
# The commit that `gatekeeper --version` names; there is no .git in the build context.
ARG COMMIT=""
RUN touch build.rs src/main.rs src/lib.rs \
    && GATEKEEPER_COMMIT="$COMMIT" cargo build --release --locked --bin gatekeeper --target "$(rustc --print host-tuple)" \
    && mkdir -p /image/usr/local/bin /image/etc/ssl/certs \
    && cp "target/$(rustc --print host-tuple)/release/gatekeeper" /image/usr/local/bin/ \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM ${RUNTIME_BASE}
ARG COMMIT=""
ARG VERSION=""
LABEL org.opencontainers.image.title="gatekeeper" \
      org.opencontainers.image.description="Lets a webhook through only when Twilio signed exactly this URL and exactly this body." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /image/ /
ENV GATEKEEPER_CONFIG=/etc/gatekeeper/gatekeeper.toml
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/gatekeeper", "health"]
ENTRYPOINT ["/usr/local/bin/gatekeeper"]
CMD ["run"]
