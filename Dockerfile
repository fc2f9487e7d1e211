# sluice on an empty base: one static binary and its configuration.
#
#   docker build -t sluice .
#   docker run -p 8080:8080 -v ./sluice.toml:/etc/sluice/sluice.toml:ro sluice

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# Static glibc: sluice has its own resolver, so nothing of NSS is loaded at run time. The
# explicit target keeps the flag away from build scripts and procedural macros.
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --bin sluice --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && mkdir -p /image/etc/sluice \
    && cp target/*/release/sluice /image/sluice \
    && cp config/sidecar.toml /image/etc/sluice/sluice.toml

FROM scratch
COPY --from=build /image/ /
# Numeric: an empty base has no /etc/passwd to look names up in.
USER 65532:65532
EXPOSE 8080
# A drain: tunnels get a Close, requests finish. Give it longer than `drain.deadline`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["/sluice", "health"]
ENTRYPOINT ["/sluice"]
CMD ["run", "--config", "/etc/sluice/sluice.toml"]
