# A Python service, as it is written for Docker: what installs stands before
# what changes often. (Phoenix does not need that; see ../python.)
#   phoenix build recipes/python -f recipes/dockerfiles/python.Dockerfile -t links
FROM debian:bookworm AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
COPY requirements.txt /tmp/
# Where a proxy signs for the index: --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca <<EOF
    if [ -e /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
    /opt/venv/bin/pip install -r /tmp/requirements.txt
EOF

FROM base
ENV PATH=/opt/venv/bin:$PATH
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY --chown=nobody app.py links.json ./
USER nobody
EXPOSE 8080
HEALTHCHECK --interval=30s CMD ["python3", "-c", "import app"]
CMD ["waitress-serve", "--port=8080", "app:app"]
