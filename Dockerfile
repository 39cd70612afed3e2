# A static program in an otherwise empty image: no shell, no package manager, nothing to update but the program itself.
# Names that are resolved at run time (Anthropic's, or that of another container) need only DNS and /etc/hosts, which
# glibc resolves without shared libraries since 2.34.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# With a target, the flag is not for the programs that run while building.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN rustc -vV | sed -n 's/^host: //p' >/target

# Build the dependencies with an empty program first: this layer is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --profile dist --target "$(cat /target)" \
    && rm -r src

COPY build.rs ./
COPY migrations migrations
COPY src src
# The commit and its date, for `reprise --version`: --build-arg REPRISE_COMMIT="$(git log -1 --format='%h %cs')"
ARG REPRISE_COMMIT=""
# Cargo compares times, and the copied files may be older than the build of the empty program.
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --profile dist --target "$(cat /target)" \
    && cp "target/$(cat /target)/dist/reprise" /


# The files of the image: the program, the certificates, a user and the folder of the ledger.
FROM rust:1.95-slim-bookworm AS files
COPY --from=build /reprise /image/usr/local/bin/reprise
RUN mkdir -p /image/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'reprise:x:10001:10001::/data:/usr/sbin/nologin' >/image/etc/passwd \
    && install -d -o 10001 -g 10001 -m 700 /image/data


FROM scratch
COPY --from=files /image /

USER 10001:10001
WORKDIR /data
VOLUME /data
# SQLite puts its temporary files beside the ledger: the root may be read-only, and memory too small for them.
ENV PATH=/usr/local/bin HOME=/data SQLITE_TMPDIR=/data REPRISE_DATABASE_URL=sqlite:///data/reprise.db
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["reprise", "ping"]
ENTRYPOINT ["reprise"]
CMD ["serve", "--host", "0.0.0.0"]
