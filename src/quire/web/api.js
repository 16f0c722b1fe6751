// The node's local API: calls, and the live stream that resumes where it broke off.

export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Api {
  constructor(token) {
    this.token = token;
    this.who = {};
  }

  // Act for an identity (public key) in a space (id) from now on.
  actAs(identity, space) {
    this.who = { as: identity, space };
  }

  async call(name, params = {}, who = this.who) {
    const answer = await this.#fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...params, as: who.as ?? null, space: who.space ?? null }),
    });
    return (await answer.json()).result;
  }

  async #fetch(path, options) {
    const headers = { ...options.headers, Authorization: `Bearer ${this.token}` };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("gone", "The node does not answer. Is it running? Start it with `quire up`.");
    }
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    throw new Failure(told.error ?? "error", told.message ?? `The node answered ${answer.status}.`);
  }

  // Follow the stream until `signal` aborts. `onEvent(type, data)` sees every event once and in order;
  // `onLive(true | false)` tells when the stream stands and when it broke.
  async follow(onEvent, onLive, signal) {
    const who = new URLSearchParams(Object.entries(this.who).filter(([, value]) => value));
    let cursor;
    for (let pause = 250; !signal.aborted; pause = Math.min(2 * pause, 5000)) {
      try {
        if (cursor !== undefined) who.set("cursor", cursor);
        const answer = await this.#fetch(`/api/events?${who}`, { signal });
        for await (const { event, id, data } of messages(answer.body)) {
          pause = 250;
          if (event === "ready") onLive(true);
          onEvent(event, data);
          if (id !== undefined) cursor = id;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Failure && error.code !== "gone" && error.code !== "too-many") throw error;
      }
      if (signal.aborted) return;
      onLive(false);
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

// The messages of a server-sent event stream: https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block
          .split("\n")
          .filter((line) => line && !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
      );
      if (fields.data !== undefined) {
        yield { event: fields.event ?? "message", id: fields.id, data: JSON.parse(fields.data) };
      }
    }
  }
}
