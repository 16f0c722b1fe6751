// The list of messages: in order, each once, kept at its end while the reader is there.

import { byId, element, localTime } from "./elements.js";

const CLOSE_TO_END = 80; // pixels
const MOST = 1000; // messages kept on the page while its end is read; earlier ones are fetched again
const ONE_BREATH = 5 * 60_000; // ms between messages of one sender that are shown as one

export class MessageList {
  constructor() {
    this.list = byId("messages");
    this.scroll = byId("scroll");
    this.shown = [];
    this.ids = new Set();
    this.unheard = new Set(JSON.parse(localStorage.getItem("unheard") ?? "[]"));
  }

  // Mark what was written by somebody who may be no member any more, also after a reload.
  markUnheard(eventId) {
    this.unheard.add(eventId);
    localStorage.setItem("unheard", JSON.stringify([...this.unheard].slice(-MOST)));
    const place = this.shown.findIndex((message) => message.event_id === eventId);
    if (place >= 0) this.list.children[place].append(unheardMark());
  }

  // Show `messages`, oldest first; with `places`, each tells where it stands (for search results).
  show(messages, { nothing, places = null }) {
    this.ids = new Set();
    this.shown = [];
    this.places = places;
    this.list.replaceChildren();
    for (const message of messages) this.#insert(message, this.shown.length);
    byId("nothing").textContent = nothing;
    this.#settle();
    this.scroll.scrollTop = places ? 0 : this.scroll.scrollHeight;
  }

  // Add what has arrived, each in its place. Many at once cost one layout.
  add(...messages) {
    const atEnd = this.isAtEnd();
    for (const message of messages) {
      if (this.ids.has(message.event_id)) continue;
      let place = this.shown.length;
      while (place > 0 && this.shown[place - 1].position > message.position) place -= 1;
      this.#insert(message, place);
    }
    if (atEnd) this.#forget(this.shown.length - MOST);
    this.#settle();
    if (atEnd) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  // Put earlier messages above without moving what is being read.
  addEarlier(messages) {
    const below = this.scroll.scrollHeight - this.scroll.scrollTop;
    messages.filter((m) => !this.ids.has(m.event_id)).forEach((message, place) => this.#insert(message, place));
    this.#settle();
    this.scroll.scrollTop = this.scroll.scrollHeight - below;
  }

  isAtEnd() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < CLOSE_TO_END;
  }

  last() {
    return this.shown.at(-1)?.position ?? "";
  }

  first() {
    return this.shown[0]?.position ?? "";
  }

  #insert(message, place) {
    this.ids.add(message.event_id);
    this.shown.splice(place, 0, message);
    this.list.insertBefore(this.#item(message), this.list.children[place] ?? null);
    for (const near of [place, place + 1]) this.#join(near);
  }

  #forget(count) {
    if (count <= 0) return;
    for (const message of this.shown.splice(0, count)) this.ids.delete(message.event_id);
    for (let left = count; left > 0; left -= 1) this.list.firstElementChild.remove();
    this.#join(0);
    byId("earlier").hidden = false;
  }

  #item(message) {
    const when = new Date(message.ts);
    const time = element("time", { textContent: localTime(message.ts), title: when.toLocaleString() });
    const by = element("div", { className: "by" });
    const sender = { className: "sender", textContent: message.sender_name || message.sender, title: message.sender };
    by.append(element("bdi", sender), time);
    if (this.places) by.append(element("bdi", { className: "place", textContent: this.places(message) }));
    const item = element("li", {}, by, element("div", { className: "body", dir: "auto", textContent: message.body_text }));
    if (this.unheard.has(message.event_id)) item.append(unheardMark());
    return item;
  }

  // Hide the sender where the message above is theirs and recent.
  #join(place) {
    const [above, message] = [this.shown[place - 1], this.shown[place]];
    if (message === undefined) return;
    const same = above && !this.places && above.sender === message.sender && message.ts - above.ts < ONE_BREATH;
    this.list.children[place].classList.toggle("same", Boolean(same));
  }

  #settle() {
    byId("nothing").hidden = this.shown.length > 0;
  }
}

const unheardMark = () => element("div", { className: "unheard", textContent: "Others may not see this." });
