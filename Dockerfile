# syntax=docker/dockerfile:1
FROM rust:1.95.0-slim-bookworm AS build
# The image has the C compiler that SQLite, librdkafka and the cryptography library are built with; librdkafka wants make too,
# and for TLS OpenSSL, of which the last stage has the same version.
RUN apt-get update && apt-get install -y --no-install-recommends make pkg-config libssl-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies, in a layer that changes only with them: built from empty sources.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY migration/Cargo.toml migration/
RUN mkdir -p src migration/src tests/it \
    && echo '//! Placeholder.' | tee src/lib.rs migration/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs tests/it/main.rs \
    && cargo build --release --locked --features kafka-tls --bin crm \
    && rm -r src migration/src tests

COPY migration migration
COPY openapi/api_contract.yaml openapi/
COPY build.rs ./
COPY src src
# What the sources are: `crm --version` says it.
ARG CRM_BUILD_COMMIT
# Cargo compares times: what was just copied may be older than what was built from the placeholders.
RUN find src migration -name '*.rs' -exec touch {} + \
    && mkdir -p tests/it && echo 'fn main() {}' > tests/it/main.rs \
    && cargo build --release --locked --features kafka-tls --bin crm \
    && mkdir -m 0700 /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/crm /usr/local/bin/crm
COPY --from=build --chown=nonroot:nonroot /data /data
# Outside loopback a way to verify tokens is demanded: set CRM_OIDC_ISSUER or another.
# Probes and metrics are at a port of their own; do not publish it to the outside.
ENV CRM_HOST=0.0.0.0 CRM_PORT=8080 CRM_METRICS_ADDR=0.0.0.0:9464 CRM_DATA_DIR=/data CRM_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080 9464
USER nonroot
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/usr/local/bin/crm", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/crm"]
CMD ["serve"]
