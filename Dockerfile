FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# Build the dependencies with an empty program first: this layer is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --profile dist \
    && rm -r src

COPY build.rs* ./
COPY migrations migrations
COPY src src
# Cargo compares times, and the copied files may be older than the build of the empty program.
RUN touch src/main.rs src/lib.rs && cargo build --locked --profile dist


FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin reprise \
    && install --directory --owner reprise --group reprise --mode 0700 /data
COPY --from=build /build/target/dist/reprise /usr/local/bin/reprise

USER 10001
WORKDIR /data
VOLUME /data
ENV REPRISE_DATABASE_URL=sqlite:///data/reprise.db
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["reprise", "ping"]
ENTRYPOINT ["reprise"]
CMD ["serve", "--host", "0.0.0.0"]
