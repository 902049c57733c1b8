# The image of crm: built with all that is needed, run with nothing but the program and its libraries. `make image` builds it,
# `make check-image` runs its steps without Docker. A digest names one build of an image; a new one goes with a new tag.
FROM rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS chef
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# It has the C compiler, make and OpenSSL that SQLite, librdkafka and the cryptography library are built with; of OpenSSL the last
# stage has the same version.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked cargo-chef@0.1.78 cargo-auditable@0.7.7
WORKDIR /build

# What the dependencies are: the recipe changes only with them.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY .cargo .cargo
COPY --from=plan /build/recipe.json recipe.json
# The dependencies, in a layer that changes only with the recipe.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo chef cook --release --locked --features kafka-tls --bin crm --recipe-path recipe.json
COPY . .
# What the sources are: `crm --version` says it.
ARG CRM_BUILD_COMMIT
# The program carries the list of its dependencies, which scanners read (`cargo audit bin`, Trivy, Grype).
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo auditable build --release --locked --features kafka-tls --bin crm \
    && mkdir -m 0700 /data

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
ARG CRM_BUILD_COMMIT
LABEL org.opencontainers.image.title="crm" \
      org.opencontainers.image.description="Customer relationship management for many tenants, behind one OpenAPI contract" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${CRM_BUILD_COMMIT}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /build/target/release/crm /usr/local/bin/crm
COPY --from=build --chown=65532:65532 /data /data
# Outside loopback a way to verify tokens is demanded: set CRM_OIDC_ISSUER or another.
# Probes and metrics are at a port of their own; do not publish it to the outside.
ENV CRM_HOST=0.0.0.0 CRM_PORT=8080 CRM_METRICS_ADDR=0.0.0.0:9464 CRM_DATA_DIR=/data CRM_LOG_FORMAT=json
# All that is written. The rest of the file system may be read-only (`--read-only`).
VOLUME /data
EXPOSE 8080 9464
# A number, because Kubernetes cannot tell that a name is not root's.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/usr/local/bin/crm", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/crm"]
CMD ["serve"]
