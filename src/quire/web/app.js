// The page: which identity, space and channel are open, and what happens when something arrives.

import { Api } from "./api.js";
import { byId, element, fill, localTime, soon } from "./elements.js";
import { MessageList } from "./messages.js";
import { showPeople, showRequests, showState } from "./people.js";
import { start } from "./start.js";

const PAGE = 50;
const POLL = 2000; // ms
const token = takeToken();
const api = new Api(token);
const list = new MessageList();

// What is open now. `channel` is a channel's name or a peer's public key.
const now = { identities: [], spaces: [], channels: [], peers: [], here: null, channel: "general", unread: new Map(), results: false };
let leave = new AbortController();

// What is begun in a conversation stays in it.
const drafts = new Map();
const draftOf = (channel) => `${now.space.space_id} ${channel}`;

// The token comes behind `#`, which is never sent anywhere, and leaves the address bar at once.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token");
}

function stop(text) {
  for (const id of ["room", "start"]) byId(id).hidden = true;
  byId("stop-text").textContent = text;
  byId("stop").hidden = false;
}

function say(error) {
  now.goneSaid = error?.code === "gone";
  byId("error").textContent = error?.message ?? "";
}

const isPeer = (channel) => now.peers.some((peer) => peer.pubkey === channel) || now.channels.some((c) => c.direct && c.channel_id === channel);
const isPrivate = (channel) => now.channels.some((one) => one.private && one.channel_id === channel);
const target = (channel) => (isPeer(channel) ? `@${channel}` : `#${channel}`);

function title(channel) {
  const peer = now.peers.find((one) => one.pubkey === channel);
  const known = now.channels.find((one) => one.channel_id === channel);  // a private one goes by an id
  return peer ? `@${peer.name || peer.pubkey}` : `#${known?.name ?? channel}`;
}

async function choose(wanted = {}) {
  now.identities = await api.call("listIdentities", {}, {});
  const as = wanted.identity ?? sessionStorage.getItem("as");
  const identity = now.identities.find((one) => one.pubkey === as) ?? now.identities[0];
  now.spaces = identity ? await api.call("listSpaces", {}, { as: identity.pubkey }) : [];
  if (now.spaces.length === 0) return choose(await start(api, identity, false));
  const id = wanted.space ?? sessionStorage.getItem("space");
  const space = now.spaces.find((one) => one.space_id === id) ?? now.spaces[0];
  sessionStorage.setItem("as", identity.pubkey);
  sessionStorage.setItem("space", space.space_id);
  if (space.kind === "joining") return waitFor(identity, space);
  enter(identity, space);
}

// Nothing can be read or written before a member has let one in, also after a reload.
async function waitFor(identity, space) {
  leave.abort();
  byId("room").hidden = true;
  const other = now.spaces.find((one) => one.kind !== "joining");
  const chosen = await start(api, identity, other !== undefined, space);
  return choose(chosen ?? { identity: identity.pubkey, space: other.space_id });
}

function enter(identity, space) {
  leave.abort();
  leave = new AbortController();
  waiting.length = 0;
  marks.clear();
  api.actAs(identity.pubkey, space.space_id);
  Object.assign(now, { identity, space, channels: [], peers: [], here: null, channel: "general", shown: null, unread: new Map(), begun: false, results: false });
  document.title = `${space.name} · Quire`;
  byId("space-name").textContent = space.name;
  pick("identity", now.identities, "pubkey", identity.pubkey);
  pick("space", now.spaces, "space_id", space.space_id);
  showNotice("");
  list.show([], { nothing: "" });
  showDraft();
  byId("room").hidden = false;
  api.follow(arrived, live, leave.signal).catch(say);
}

function pick(id, options, key, chosen) {
  byId(`${id}-label`).hidden = options.length < 2;
  const choices = options.map((one) => element("option", { value: one[key], textContent: one.name }));
  byId(id).replaceChildren(...choices);
  byId(id).value = chosen;
}

async function arrived(kind, event) {
  if (kind === "ready") {
    // After a break the stream itself brings what was missed: a page of history is needed at first, or where it failed.
    const missing = !now.begun || (now.shown !== now.channel && !now.results);
    now.begun = true;
    await Promise.all([refresh(), missing && openChannel(now.channel)]).catch(say);
    return;
  }
  if (event.type === "peer" || event.type === "personal") refreshSoon(); // read on another device
  if (event.type !== "message") return;
  if (!now.channels.some((channel) => channel.channel_id === event.channel_id)) refreshSoon();
  if (event.sender !== now.identity.pubkey) now.unread.set(event.channel_id, (now.unread.get(event.channel_id) ?? 0) + 1);
  if (event.channel_id === now.channel && !now.results) {
    waiting.push(event);
    showWaiting();
  }
  drawSoon();
}

// Whether the end of the open conversation is before somebody's eyes.
const isRead = () => now.shown === now.channel && !now.results && !document.hidden && byId("scroll").clientHeight > 0 && list.isAtEnd();

function noteRead() {
  if (!isRead() || !now.unread.delete(now.channel)) return;
  marks.set(now.channel, list.last());
  draw();
  markSoon();
}

// Marks are events, sealed and synced: a lively conversation makes one in a while, not one for each message.
const marks = new Map();
const markSoon = soon(() => {
  for (const [channel, position] of marks) api.call("markRead", { target: target(channel), position }).catch(refreshSoon);
  marks.clear();
}, 500);

// A first sync brings thousands of events in a second: what they change is shown a few times, not each time.
const waiting = [];
function showLate() {
  if (now.shown !== now.channel) return; // its page of history, which is on its way, would take their place
  list.add(...waiting.splice(0).filter((m) => m.channel_id === now.channel && !now.results));
}
const showWaiting = soon(() => {
  showLate();
  noteRead();
});
const drawSoon = soon(() => draw());
const refreshSoon = soon(() => refresh().catch(say), 300);

function live(stands) {
  byId("live").hidden = stands;
  byId("live").textContent = stands ? "" : "The node does not answer. Trying again…";
  if (stands && now.goneSaid) say(null);
  now.gone = !stands;
  if (!stands) draw();
}

async function refresh() {
  const { signal } = leave;
  const calls = ["listChannels", "getPeers", "getStatus", "getNotice"].map((name) => api.call(name));
  const [channels, peers, status, notice] = await Promise.all(calls);
  if (signal.aborted) return;
  const unread = new Map(channels.filter((c) => c.unread).map((c) => [c.channel_id, c.unread]));
  Object.assign(now, { channels, peers, here: spaceIn(status), unread });
  showNotice(notice.text);
  noteRead();
  draw();
}

function showNotice(text) {
  if (byId("notice").textContent !== text) byId("notice").textContent = text; // not read out again by each poll
  byId("notice").hidden = !text;
}

async function tellUnheard(message) {
  const notice = await api.call("getNotice").catch(() => null); // it is sent all the same
  if (notice?.text) list.markUnheard(message.event_id);
  if (notice) showNotice(notice.text);
}

// How the space that is open stands, by the node's status.
function spaceIn(status) {
  const { as, space } = api.who;
  const identity = status.identities.find((one) => one.pubkey === as);
  return identity?.spaces.find((one) => one.space_id === space) ?? null;
}

async function letIn(pubkey) {
  say(null);
  await api.call("approveRequest", { name: pubkey });
  await refresh();
}

function draw() {
  const names = new Set(["general", ...now.channels.filter((c) => !c.direct).map((c) => c.channel_id)]);
  if (!isPeer(now.channel)) names.add(now.channel);
  const current = now.results ? null : now.channel;
  const drawn = [...names].map((name) => [name, title(name), isPrivate(name)]);
  fill(byId("channels"), JSON.stringify([drawn, current, [...now.unread]]), () => [...names].map(channelItem));
  // A node that does not answer knows of nobody.
  const peers = now.gone ? now.peers.map((peer) => ({ ...peer, state: "unknown", pending: 0 })) : now.peers;
  showPeople(peers, now.here?.relays ?? [], current, now.unread, open);
  showRequests(now.here?.requests ?? [], (pubkey) => letIn(pubkey).catch(say));
  if (now.gone) byId("sync").textContent = "";
  if (!now.results) byId("where").textContent = title(now.channel);
}

function channelItem(name) {
  const button = element("button", { type: "button", "data-id": name });
  button.append(element("bdi", { className: "name", textContent: title(name) }));
  if (isPrivate(name)) button.append(element("span", { className: "lock", role: "img", "aria-label": "private", title: "private" }));
  const unread = now.unread.get(name);
  if (unread) button.append(element("span", { className: "unread", textContent: unread, title: "unread" }));
  if (name === now.channel && !now.results) button.setAttribute("aria-current", "true");
  button.onclick = () => open(name);
  return element("li", {}, button);
}

function open(channel) {
  showMenu(false);
  openChannel(channel).catch(say);
}

async function openChannel(channel) {
  say(null);
  byId("search").reset();
  Object.assign(now, { channel, results: false });
  showDraft();
  now.shown = null;
  draw();
  showInside(channel).catch(say);
  byId("compose").hidden = false;
  // At once: when the messages are here, somebody may have gone on to another field.
  if (matchMedia("(hover: hover)").matches && !document.activeElement?.value) byId("text").focus();
  const messages = await api.call("getMessages", { target: target(channel), limit: PAGE });
  if (now.channel !== channel || now.results) return;
  list.show(messages, { nothing: "No messages here yet. Write the first one." });
  byId("earlier").hidden = messages.length < PAGE;
  now.shown = channel;
  showLate();
  noteRead();
}

// Who reads what is written in a private channel.
async function showInside(channel) {
  byId("inside").hidden = true;
  if (!isPrivate(channel)) return;
  const members = await api.call("listChannelMembers", { channel });
  if (now.channel !== channel || now.results) return;
  byId("inside").textContent = `Private: ${members.map((one) => one.name || one.pubkey).join(", ")}.`;
  byId("inside").hidden = false;
}

function showDraft() {
  byId("text").value = drafts.get(draftOf(now.channel)) ?? "";
  byId("text").placeholder = `Message ${title(now.channel)}`;
}

async function searchFor(words) {
  say(null);
  const found = await api.call("searchMessages", { words, limit: PAGE });
  now.results = true;
  showMenu(false);
  draw();
  const back = element("button", { type: "button", className: "quiet", textContent: "Back" });
  back.onclick = () => open(now.channel);
  byId("where").replaceChildren(element("bdi", { textContent: `Results for “${words}”` }), back);
  for (const id of ["earlier", "compose", "inside"]) byId(id).hidden = true;
  list.show(found, { nothing: "No message has these words.", places: (message) => title(message.channel_id) });
}

async function send() {
  const box = byId("text");
  const text = box.value;
  if (!text.trim()) return;
  const { channel } = now;
  const draft = draftOf(channel);
  box.value = "";
  drafts.delete(draft);
  say(null);
  try {
    const message = await api.call("sendMessage", { target: target(channel), text });
    await tellUnheard(message);
    waiting.push(message);
    showLate();
    list.scroll.scrollTop = list.scroll.scrollHeight;
  } catch (error) {
    if (!drafts.get(draft)) drafts.set(draft, text); // what was written is not lost
    if (draft === draftOf(now.channel)) showDraft();
    say(error);
  }
}

async function poll() {
  if (!document.hidden && !byId("room").hidden) {
    try {
      const { signal } = leave;
      const calls = ["getPeers", "getStatus", "getNotice"].map((name) => api.call(name));
      const [peers, status, notice] = await Promise.all(calls);
      if (!signal.aborted) {
        Object.assign(now, { peers, here: spaceIn(status) });
        showNotice(notice.text);
        draw();
        if (byId("state").open) showState(status);
      }
    } catch {
      // the live stream tells when the node is gone
    }
  }
  setTimeout(poll, POLL);
}

function showMenu(open) {
  byId("room").classList.toggle("open", open);
  byId("menu").setAttribute("aria-expanded", String(open));
}

// The same link is shown as long as it is open: each one lets somebody in.
const invites = new Map();

async function openInvite() {
  const made = invites.get(now.space.space_id);
  if (!made) return null;
  const known = await api.call("listInvites");
  return known.some((one) => one.invite_id === made.invite_id && one.state === "open") ? made : null;
}

async function invite(another) {
  say(null);
  const { space_id } = now.space;
  const made = (!another && (await openInvite())) || (await api.call("createInvite"));
  invites.set(space_id, made);
  const who = made.uses === 1 ? "one person" : `${made.uses} people`;
  byId("link-limits").textContent = `It is for ${who}, until ${localTime(made.expires)}.`;
  byId("link").value = made.link;
  byId("copied").textContent = "";
  if (!byId("invite-box").open) byId("invite-box").showModal();
  byId("link").scrollTop = 0;
}

async function copy() {
  byId("link").select();
  try {
    await navigator.clipboard.writeText(byId("link").value);
    byId("copied").textContent = "Copied.";
  } catch {
    byId("copied").textContent = "Selected: copy it with the keyboard.";
  }
}

async function add() {
  byId("room").hidden = true;
  const chosen = await start(api, now.identity, true);
  byId("room").hidden = false;
  if (chosen) await choose(chosen);
}

function wire() {
  const submit = (id, action) => {
    byId(id).onsubmit = (event) => {
      event.preventDefault();
      Promise.resolve(action(event.target)).catch(say);
    };
  };
  submit("compose", send);
  submit("search", () => (byId("words").value.trim() ? searchFor(byId("words").value) : openChannel(now.channel)));
  submit("new-channel", (form) => {
    const name = byId("channel-name").value.trim().replace(/^#/, "");
    form.reset();
    if (name) open(name);
  });
  byId("text").oninput = () => drafts.set(draftOf(now.channel), byId("text").value);
  byId("text").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  byId("earlier").onclick = async () => {
    const before = { target: target(now.channel), limit: PAGE, before: list.first() };
    const earlier = await api.call("getMessages", before).catch(say);
    if (!earlier) return;
    list.addEarlier(earlier);
    byId("earlier").hidden = earlier.length < PAGE;
  };
  document.onvisibilitychange = noteRead;
  byId("scroll").onscroll = soon(noteRead);
  byId("menu").onclick = () => showMenu(!byId("room").classList.contains("open"));
  byId("invite").onclick = () => invite(false).catch(say);
  byId("another").onclick = () => invite(true).catch(say);
  byId("copy").onclick = copy;
  byId("add").onclick = () => add().catch(say);
  byId("state").ontoggle = () => byId("state").open && api.call("getStatus").then(showState, say);
  byId("identity").onchange = (event) => choose({ identity: event.target.value }).catch(say);
  byId("space").onchange = (event) => choose({ identity: now.identity.pubkey, space: event.target.value }).catch(say);
}

if (token) {
  wire();
  choose().then(poll, (error) => stop(error.message));
} else {
  stop("Open the address that `quire up` prints: it holds the key to this node.");
}
