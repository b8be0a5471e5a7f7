"""Short links: /NAME leads to the address that links.json has for it."""

import json
from pathlib import Path

import bottle

LINKS = json.loads(Path(__file__).with_name("links.json").read_text())

app = bottle.Bottle()


@app.get("/")
def index():
    """All names, one a line."""
    bottle.response.content_type = "text/plain; charset=utf-8"
    return "".join(f"{name}\n" for name in sorted(LINKS))


@app.get("/<name>")
def follow(name):
    """Sends the reader on."""
    if name not in LINKS:
        bottle.abort(404, f"no link is called {name}")
    bottle.redirect(LINKS[name])
