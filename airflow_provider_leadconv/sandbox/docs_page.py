"""``/docs``: the OpenAPI document as a page to read and to send requests from.

Written by hand: FastAPI's own page loads its scripts from another host, so it is empty without a network, and a copy of
those scripts would be larger than this package.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 1em 0 }
td, th { border-bottom: 1px solid #ccc; padding: .4em; text-align: left; vertical-align: top }
input, textarea { font: 14px monospace; width: 100%; box-sizing: border-box }
pre { background: #f4f4f4; padding: 1em; max-height: 30em; overflow: auto }
"""
_SCRIPT = """
for (const form of document.forms) form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = [...form.elements].filter((field) => field.name && field.value);
  const body = fields.find((field) => field.name === "body");
  const parameters = fields.filter((field) => field !== body).map((field) => [field.name, field.value]);
  const query = new URLSearchParams(parameters).toString();
  const headers = { Authorization: "Bearer " + document.getElementById("token").value };
  if (body) headers["Content-Type"] = "application/json";
  const output = form.querySelector("output");
  try {
    const url = form.dataset.path + (query ? "?" + query : "");
    const response = await fetch(url, { method: form.dataset.method, headers, body: body && body.value });
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { }
    output.innerHTML = "<pre></pre>";
    output.firstChild.textContent = response.status + " " + response.statusText + "\\n\\n" + shown;
  } catch (error) { output.textContent = "No response: " + error.message; }
});
"""


EXAMPLE_BODY = '{"data": {"lead_id": 2, "create_deal": false}}'


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: The headers of the page. A browser then loads nothing from another host, and runs no script but that of the page.
DOCS_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; connect-src 'self'; style-src {_hash(_STYLE)}; "
    f"script-src {_hash(_SCRIPT)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


def docs_page(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML.

    :param document: one as :func:`openapi_document` returns it.
    """
    info, prefix = document["info"], document["servers"][0]["url"].rstrip("/")
    operations = [
        _operation(prefix + path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        f"<details><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>"
        '<p><a href="/openapi.json">OpenAPI document</a></p>'
        '<p><label>Access token <input id="token" autocomplete="off"></label></p>'
        f"{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}<script>{_SCRIPT}</script></body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [
        _row(each["name"], each["schema"], each["description"], f'<input name="{each["name"]}">')
        for each in operation.get("parameters", [])
    ]
    body = ""
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        data = content["schema"]["properties"]["data"]
        rows = [
            _row(name, schema, schema["description"], "required" if name in data["required"] else "")
            for name, schema in data["properties"].items()
        ]
        body = f'<p><label>Body <textarea name="body" rows="3">{escape(EXAMPLE_BODY)}</textarea></label></p>'
    responses = "".join(
        f"<tr><td>{escape(status)}</td><td>{_text(response['description'])}</td></tr>"
        for status, response in operation["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{_text(operation['summary'])}. {_text(operation['description'])}</p>"
        f'<form data-method="{method.upper()}" data-path="{escape(path)}"><table>{"".join(rows)}</table>{body}'
        f"<p><button>Send</button></p><output></output></form><h3>Responses</h3><table>{responses}</table>"
    )


def _row(name: str, schema: dict[str, Any], description: str, field: str) -> str:
    kind = schema["type"]
    if "maximum" in schema and "format" not in schema:
        kind += f", {schema['minimum']} to {schema['maximum']}"
    if "default" in schema:
        kind += f", default {json.dumps(schema['default'])}"
    return f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{_text(description)}</td><td>{field}</td></tr>"


def _text(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
