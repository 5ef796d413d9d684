# docker build -t oxidis . && docker run -p 6379:6379 -v oxidis-data:/data oxidis
#
# Arguments take the place of the ones at the end of this file:
#   docker run oxidis --protected-mode no --maxmemory 1gb --maxmemory-policy allkeys-lfu
#   docker run -v ./redis.conf:/etc/redis.conf oxidis /etc/redis.conf --bind '* -::*' --protected-mode no
# (the redis.conf of this repository listens on the loopback interface only, which in a container is nobody's).

FROM rust:1-slim-bookworm AS build
# Lua and the allocator are built from C.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins

FROM debian:bookworm-slim
RUN useradd --system --uid 999 --home-dir /data --shell /usr/sbin/nologin oxidis \
 && mkdir /data && chown oxidis:oxidis /data
COPY --from=build /src/target/release/oxidis-server /src/target/release/oxidis-check-aof \
     /src/target/release/oxidis-check-rdb /usr/local/bin/
USER oxidis
WORKDIR /data
VOLUME /data
EXPOSE 6379
# The network of the container is what protects it; publish the port only where it may be reached, or set a password.
ENTRYPOINT ["oxidis-server"]
CMD ["--protected-mode", "no"]
