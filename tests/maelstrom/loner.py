#!/usr/bin/env python3
"""A bad node: it acknowledges everything, tells nobody, and forgets what it was told first."""

import json
import sys

held: list[int] = []
name = ""
for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    answer: dict[str, object] = {"type": f"{body['type']}_ok", "in_reply_to": body["msg_id"]}
    if body["type"] == "init":
        name = body["node_id"]
    elif body["type"] == "add":
        held = [*held, body["element"]][-5:]
    elif body["type"] == "read":
        answer["value"] = [*held, -1]
    print(json.dumps({"src": name, "dest": message["src"], "body": answer}), flush=True)
