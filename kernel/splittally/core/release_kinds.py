"""The kinds of effect that every world has from its release, but the native ones: the only list of them.

Rule 1. A manifest uses them without listing them, and cannot define one of them itself.
"""

from splittally.core.types import CAP_SPEND_TYPE

# kind -> the type of cap that covers it; the schemas of their params are in `edge/release.py`
RELEASE_KINDS = {
    "llm.generate": "llm.basic",
    "http.request": "http.out",
    "blob.put": "blob",
    "blob.get": "blob",
    "email.send": "email",
    "fs.read": "fs",
    "fs.write": "fs",
    "fs.delete": "fs",
    "fs.list": "fs",
    "mcp.call": "mcp",
    "tool.call": "mcp",
    "shell.run": "shell",
    "sql.execute": "sql",
    "task.post": CAP_SPEND_TYPE,
}

# kind -> the param that names a row of a price table
PRICE_KEYS = {"llm.generate": "model"}
