# A Node service in two stages: npm stays behind.
#   phoenix build recipes/node -f recipes/dockerfiles/node.Dockerfile -t pages
FROM debian:bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends npm ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
# Where a proxy signs for the registry: --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca \
    if [ -e /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --omit=dev --no-audit --no-fund

FROM debian:bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends nodejs \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin pages
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY . .
USER pages
EXPOSE 8080
CMD ["node", "server.js"]
