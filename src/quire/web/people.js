// Who is here and in sync, and the state of this node.

import { byId, element, fill, localTime } from "./elements.js";

const WORDS = {
  self: "you",
  local: "on this node",
  "in-sync": "in sync",
  syncing: "syncing",
  unreachable: "unreachable",
  waiting: "not reached",
  "by-relay": "by relay",
  refused: "refuses what it is handed",
  offline: "offline",
  unknown: "not known now",
};

export function showPeople(peers, relays, current, unread, open) {
  const drawn = peers.map((p) => [p.pubkey, p.name, p.state, p.pending]);
  fill(byId("people"), JSON.stringify([drawn, current, [...unread]]), () =>
    peers.map((peer) => {
      const name = element("bdi", { className: "name", textContent: peer.name || peer.pubkey });
      const state = stateOf(peer);
      const heard = peer.last_heard_ts ? `, last heard ${localTime(peer.last_heard_ts)}` : "";
      const title = `${peer.pubkey}${peer.address ? ` at ${peer.address}` : ""}${heard}`;
      const button = element("button", { type: "button", title, "data-id": peer.pubkey }, name);
      const count = unread.get(peer.pubkey);
      if (count) button.append(element("span", { className: "unread", textContent: count, title: "unread" }));
      button.append(state);
      if (peer.pubkey === current) button.setAttribute("aria-current", "true");
      button.onclick = () => open(peer.pubkey);
      return element("li", {}, button);
    }),
  );
  const others = peers.filter((peer) => peer.state !== "self");
  const together = others.filter((peer) => peer.state === "in-sync").length;
  const carried = others.filter((peer) => peer.state === "by-relay").length;
  const apart = carried ? `, with ${carried} by relay` : "";
  const direct = others.length === 0 ? "Nobody else is here yet." : `In sync with ${together} of ${others.length}${apart}.`;
  byId("sync").textContent = [direct, ...relays.map((relay) => `Relay ${relay.host}: ${WORDS[relay.state]}.`)].join(" ");
}

// Who waits for a member's word; `letIn(key)` gives it.
export function showRequests(requests, letIn) {
  byId("asking").hidden = requests.length === 0;
  byId("menu").classList.toggle("news", requests.length > 0);
  fill(byId("requests"), JSON.stringify(requests), () =>
    requests.map((one) => {
      const name = element("bdi", { className: "name", textContent: one.name, title: one.pubkey });
      const button = element("button", { type: "button", className: "quiet", textContent: "Let in", "data-id": one.pubkey });
      button.onclick = () => letIn(one.pubkey);
      return element("li", {}, name, button);
    }),
  );
}

function stateOf(peer) {
  const pending = peer.state !== "by-relay" && peer.pending && peer.theirs !== null ? ` · ${peer.pending}` : "";
  return element("span", { className: `state ${peer.state}`, textContent: WORDS[peer.state] + pending });
}

export function showState(status) {
  fill(byId("state-text"), JSON.stringify(status), () => [...stateLines(status)].map((text) => element("p", { textContent: text })));
}

function* stateLines(status) {
  yield status.running ? `Reachable at ${status.addresses.join(", ")}.` : "Not reachable by peers.";
  if (status.search_backlog) yield `${status.search_backlog} messages wait to be indexed.`;
  if (status.stale_views) yield "Made by another version: run `quire rebuild`.";
  for (const identity of status.identities) {
    for (const space of identity.spaces) {
      yield `${identity.name} in ${space.name}: ${space.held} events, ${space.valid} valid.`;
      for (const waiting of space.blocked) yield `Waiting: ${waiting.count}, ${waiting.reason}.`;
      if (space.unsupported) yield `Unsupported: ${space.unsupported}; a newer version shows them.`;
      for (const relay of space.relays) {
        const again = relay.retry_ts ? `; tried again at ${localTime(relay.retry_ts, "medium")}` : "";
        const trouble = relay.trouble ? ` (${relay.trouble.replace(/\.$/, "")}${again})` : "";
        yield `Relay ${relay.host}: ${WORDS[relay.state] ?? relay.state}, ${relay.unposted} to hand over${trouble}.`;
        for (const fault of relay.faults) yield `Relay ${relay.host}: ${fault.meaning}, ${localTime(fault.ts)}.`;
      }
      for (const fork of space.forks) yield `${fork.device_name || fork.device} wrote two histories (at ${fork.seq}).`;
    }
    for (const refused of identity.rejected) {
      yield `Rejected: ${refused.count} from ${refused.source_name || refused.source}, ${refused.meaning}.`;
    }
  }
}
