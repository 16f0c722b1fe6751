"use strict";
// Draws the history that stands in the page: lanes of devices over time, and a table of writes by devices.
// Texts reach the page as text nodes only.
(() => {
  const history = JSON.parse(document.getElementById("history").textContent);
  const stage = document.getElementById("lanes");
  const NS = stage.namespaceURI;
  const LEFT = 150, RIGHT = 16, TOP = 28, MOST_ROWS = 500;
  const LANE = history.lanes.length > 24 ? 22 : 38;
  const place = new Map(history.lanes.map((lane, n) => [lane.device, n]));
  let from = 0, to = history.end_ms, chosen = null, pinned = null, dragged = null;
  let shown = history.writes, wide = 640;

  const svg = (parent, name, attributes, words) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (words) svg(made, "title", {}).textContent = words;
    parent.append(made);
    return made;
  };
  const node = (parent, name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    parent.append(made);
    return made;
  };
  const seconds = (ms) => (ms / 1000).toFixed(ms < 9950 ? 2 : 1) + " s";
  const x = (ms) => LEFT + (ms - from) / (to - from) * (wide - LEFT - RIGHT);
  const top = (device) => TOP + place.get(device) * LANE;
  const inside = (start, end) => end >= from && start <= to;

  // What is drawn.

  function draw() {
    const height = TOP + history.lanes.length * LANE + 6;
    stage.replaceChildren();
    wide = Math.max(640, stage.parentElement.clientWidth);
    stage.setAttribute("viewBox", `0 0 ${wide} ${height}`);
    stage.style.width = wide + "px";
    stage.style.height = height + "px";
    history.lanes.forEach(drawLane);
    history.bands.forEach(drawBand);
    drawAxis(height);
    history.marks.forEach(drawMark);
    const writes = svg(stage, "g", { id: "marks" });
    shown.forEach((write) => drawWrite(writes, write));
    svg(stage, "g", { id: "chosen" });
    drawChosen();
  }

  function drawAxis(height) {
    const room = Math.max(2, Math.floor((wide - LEFT) / 90));
    const least = (to - from) / room;
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      svg(stage, "path", { class: "grid", d: `M${x(at)} ${TOP - 6}V${height}` });
      const digits = step >= 1000 ? 0 : Math.min(3, Math.ceil(3 - Math.log10(step)));
      svg(stage, "text", { class: "tick", x: x(at), y: 16, "text-anchor": "middle" }).textContent = (at / 1000).toFixed(digits) + " s";
    }
    if (inside(history.calm_ms, history.calm_ms))
      svg(stage, "path", { class: "calm", d: `M${x(history.calm_ms)} ${TOP - 6}V${height}` }, "Nobody writes and nothing goes wrong from here on");
  }

  function drawLane(lane) {
    const y = top(lane.device), foot = y + LANE - 3;
    svg(stage, "text", { x: 10, y: y + (LANE > 30 ? 16 : 14) }).textContent = lane.device;
    const people = svg(stage, "text", LANE > 30 ? { class: "who", x: 10, y: y + 30 } : { class: "who", x: 76, y: y + 14 }, lane.people.join(", "));
    people.prepend(clip(lane.people.join(", "), LANE > 30 ? 22 : 11));
    svg(stage, "path", { class: "base", d: `M0 ${y + LANE - 1.5}H${wide}` });
    area(lane, y, foot);
    const since = lane.since_ms === null ? history.end_ms : lane.since_ms;
    rect("absent", 0, since, y, LANE - 3, lane.device + " is in no space yet");
  }

  function area(lane, y, foot) {
    const most = Math.max(1, lane.held[lane.held.length - 1][1]);
    const level = (count) => foot - count / most * (LANE - 5);
    let before = 0, path = "";
    for (const [at, count] of lane.held) {
      if (at <= from) { before = count; continue; }
      if (at > to) break;
      path += `H${x(at)}V${level(count)}`;
    }
    svg(stage, "path", { class: "held", d: `M${LEFT} ${foot}V${level(before)}${path}H${x(to)}V${foot}Z` });
  }

  function rect(kind, start, end, y, height, words) {
    if (end <= start || !inside(start, end)) return;
    const left = x(Math.max(start, from)), right = x(Math.min(end, to));
    svg(stage, "rect", { class: kind, x: left, y, width: Math.max(1, right - left), height }, words);
  }

  function drawBand(band) {
    const words = `${band.words} (${seconds(band.start_ms)} to ${seconds(band.end_ms)})`;
    const kinds = { down: 1, offline: 1, removed: 1 };
    if (band.sides.length)
      band.sides.forEach((side, n) => side.forEach((device) => rect(band.kind + n % 2, band.start_ms, band.end_ms, top(device), LANE - 3, words)));
    else if (band.kind in kinds)
      rect(band.kind, band.start_ms, band.end_ms, top(band.device), LANE - 3, words);
    else
      for (const device of place.has(band.device) ? [band.device] : place.keys())
        rect(band.kind === "nat" ? "nat" : "lasting", band.start_ms, band.end_ms, top(device) + LANE - 6, 3, words);
  }

  function drawMark(mark) {
    if (!inside(mark.at_ms, mark.at_ms) || !place.has(mark.device)) return;
    const at = x(mark.at_ms), y = top(mark.device) + 7;
    const shapes = {
      join: `M${at - 4} ${y}h8M${at} ${y - 4}v8`,
      clock: `M${at - 4} ${y}a4 4 0 1 1 8 0a4 4 0 1 1 -8 0M${at} ${y - 3}v3h2`,
      refused: `M${at - 3} ${y - 3}l6 6m0 -6l-6 6`,
      other: `M${at - 4} ${y}l4 -4l4 4l-4 4Z`,
    };
    const kind = { found: "join", crashed: "refused" }[mark.kind] ?? (mark.kind in shapes ? mark.kind : "other");
    svg(stage, "path", { class: "mark " + kind, d: shapes[kind] }, `${seconds(mark.at_ms)} ${mark.words}`);
  }

  function drawWrite(parent, write) {
    for (const [device, at] of Object.entries(write.reached)) {
      if (!inside(at, at)) continue;
      const middle = top(device) + LANE / 2;
      const made = device === write.device
        ? svg(parent, "circle", { class: "writ", cx: x(at), cy: middle, r: 3.6 })
        : svg(parent, "path", { class: "came", d: `M${x(at)} ${middle - LANE / 5}V${middle + LANE / 5}` });
      made.write = write;
    }
  }

  function drawChosen() {
    const group = document.getElementById("chosen"), write = pinned || chosen;
    group.replaceChildren();
    document.getElementById("marks").setAttribute("class", write ? "dim" : "");
    if (!write) return;
    const start = [Math.max(x(write.at_ms), LEFT - 4), top(write.device) + LANE / 2];
    for (const [device, at] of Object.entries(write.reached)) {
      const point = [x(at), top(device) + LANE / 2];
      if (device !== write.device && at >= from && write.at_ms <= to)
        svg(group, "path", { class: "path", d: `M${start}L${point}` });
      if (inside(at, at)) svg(group, "circle", { class: "spot", cx: point[0], cy: point[1], r: device === write.device ? 6 : 4.5 });
    }
  }

  // What is told of one write, and of all.

  const clip = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;
  const shade = (delay) => Math.round(100 * Math.min(1, Math.max(0, Math.log10(Math.max(delay, 50) / 50) / 3.3)));
  const tint = (element, delay) => { element.style.background = `color-mix(in srgb, color-mix(in srgb, var(--late) ${shade(delay)}%, var(--soon)) 34%, transparent)`; };
  const meant = (write, lane) => lane.spaces.includes(write.space);
  const absent = (write) => history.lanes.filter((lane) => meant(write, lane) && !(lane.device in write.reached)).length;
  const slowest = (write) => Math.max(0, ...Object.values(write.reached).map((at) => at - write.at_ms));

  function tell() {
    const detail = document.getElementById("detail"), write = pinned || chosen;
    detail.replaceChildren();
    if (!write) {
      node(detail, "p", "Point at a mark or a row to see who wrote it and when each device had it; click or tap to keep it. Drag over the lanes to zoom.");
      return;
    }
    node(detail, "p", `${seconds(write.at_ms)}: ${write.writer} on ${write.device}, to ${write.to} in ${write.space}` + (write.count > 1 ? `, ${write.count} at once` : ""));
    node(detail, "blockquote", write.texts.join("\n") + (write.count > write.texts.length ? `\n… and ${write.count - write.texts.length} more` : ""));
    const delays = node(detail, "div");
    delays.id = "delays";
    for (const lane of history.lanes) {
      if (lane.device === write.device || !meant(write, lane)) continue;
      const at = write.reached[lane.device];
      const made = node(delays, "span", `${lane.device}: ${at === undefined ? "never" : "+" + seconds(at - write.at_ms)}`);
      if (at !== undefined) tint(made, at - write.at_ms);
    }
  }

  function list() {
    const head = document.querySelector("#writes thead"), body = document.querySelector("#writes tbody");
    head.replaceChildren();
    body.replaceChildren();
    const row = node(head, "tr");
    for (const name of ["Time", "Writer", "To", "Text"]) node(row, "th", name);
    for (const lane of history.lanes) node(row, "th", lane.device.replace(/^device/, "d"), "cell").title = `Delay until ${lane.device} (${lane.people.join(", ")}) had it, in seconds`;
    for (const write of shown.slice(0, MOST_ROWS)) listOne(body, write);
    const left = shown.length - MOST_ROWS;
    document.getElementById("rest").textContent = left > 0 ? `${left} more are drawn above and not listed: filter or zoom.` : "";
    document.getElementById("shown").textContent = `${shown.length} of ${history.writes.length} writes`;
  }

  function listOne(body, write) {
    const row = node(body, "tr", undefined, "row");
    row.tabIndex = 0;
    row.write = write;
    node(row, "td", (write.at_ms / 1000).toFixed(2), "at");
    node(row, "td", write.writer);
    node(row, "td", write.to);
    node(row, "td", clip(write.texts.join(" · "), 140), "text");
    for (const lane of history.lanes) {
      const at = write.reached[lane.device], own = lane.device === write.device;
      const delay = at === undefined ? 0 : at - write.at_ms;
      const cell = node(row, "td", own ? "wrote" : at === undefined ? (meant(write, lane) ? "never" : "") : (delay / 1000).toFixed(delay < 9950 ? 2 : 1), own ? "cell own" : "cell");
      if (!own && at !== undefined) tint(cell, delay);
    }
  }

  // What is done with it.

  function choose(write) {
    if (write === chosen) return;
    chosen = write;
    refresh();
  }

  function pin(write) {
    pinned = pinned === write ? null : write;
    refresh();
  }

  function refresh() {
    drawChosen();
    tell();
    for (const row of document.querySelectorAll("tr.row")) row.classList.toggle("chosen", row.write === pinned);
  }

  function filter() {
    const words = document.getElementById("words").value.toLowerCase();
    const writer = document.getElementById("writer").value, slow = Number(document.getElementById("slow").value);
    shown = history.writes.filter((write) =>
      (!writer || write.writer === writer) &&
      (slow < 0 ? absent(write) > 0 : slowest(write) >= slow) &&
      (write.at_ms <= to && write.at_ms + slowest(write) >= from) &&
      (!words || [write.writer, write.device, write.to, write.space, ...write.texts].join("\n").toLowerCase().includes(words)));
    if (!shown.includes(pinned)) pinned = null;
    draw();
    list();
    refresh();
  }

  function zoom(start, end) {
    const span = Math.max(20, Math.min(history.end_ms, end - start));
    from = Math.max(0, Math.min(start, history.end_ms - span));
    to = from + span;
    filter();
  }

  const scale = (share) => { const middle = (from + to) / 2, half = (to - from) * share / 2; zoom(middle - half, middle + half); };
  const shift = (share) => zoom(from + (to - from) * share, to + (to - from) * share);
  const time = (event) => {
    const box = stage.getBoundingClientRect();
    return from + (event.clientX - box.left - LEFT) / (wide - LEFT - RIGHT) * (to - from);
  };

  function near(event) {
    const box = stage.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    let found = null, least = 14;
    for (const write of shown)
      for (const [device, ms] of Object.entries(write.reached)) {
        const far = Math.hypot(x(ms) - at[0], (top(device) + LANE / 2 - at[1]) / 2);
        if (far < least) [found, least] = [write, far];
      }
    return found;
  }

  stage.addEventListener("pointerdown", (event) => { dragged = { at: time(event), x: event.clientX }; });
  stage.addEventListener("pointermove", (event) => {
    if (dragged && event.pointerType === "mouse" && Math.abs(event.clientX - dragged.x) > 8) {
      document.querySelector(".drag")?.remove();
      const [start, end] = [dragged.at, time(event)].sort((a, b) => a - b);
      rectOver(start, end);
    } else choose(near(event));
  });
  const rectOver = (start, end) => svg(stage, "rect", { class: "drag", x: x(Math.max(start, from)), y: 0, width: Math.max(1, x(Math.min(end, to)) - x(Math.max(start, from))), height: "100%" });
  window.addEventListener("pointerup", (event) => {
    if (!dragged) return;
    const [start, end] = [dragged.at, time(event)].sort((a, b) => a - b), moved = Math.abs(event.clientX - dragged.x) > 8;
    dragged = null;
    if (moved && event.pointerType !== "mouse") return;
    if (moved) zoom(Math.max(start, from), Math.min(end, to));
    else pin(near(event));
  });
  stage.addEventListener("pointercancel", () => { dragged = null; });
  stage.addEventListener("pointerleave", () => choose(null));
  const table = document.querySelector("#writes tbody"), rowOf = (event) => event.target.closest("tr.row");
  table.addEventListener("pointerover", (event) => choose(rowOf(event)?.write ?? null));
  table.addEventListener("pointerleave", () => choose(null));
  table.addEventListener("click", (event) => rowOf(event) && pin(rowOf(event).write));
  table.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(rowOf(event).write); } });
  for (const id of ["words", "writer", "slow"]) document.getElementById(id).addEventListener("input", filter);
  const buttons = {
    closer: () => scale(0.5), wider: () => scale(2), earlier: () => shift(-0.5), later: () => shift(0.5),
    all: () => zoom(0, history.end_ms),
    calm: () => zoom(history.calm_ms - 2000, history.end_ms),
  };
  for (const [id, act] of Object.entries(buttons)) document.getElementById(id).addEventListener("click", act);
  window.addEventListener("resize", draw);

  for (const name of [...new Set(history.writes.map((write) => write.writer))].sort())
    node(document.getElementById("writer"), "option", name).value = name;
  const summary = document.getElementById("summary");
  summary.append(`${history.writes.length} writes on ${history.lanes.length} devices in ${seconds(history.end_ms)} of virtual time; writing and faults stop at ${seconds(history.calm_ms)}. Run it again with `);
  node(summary, "code", `quire sim run ${history.scenario} --seed ${history.seed}`);
  const legend = document.getElementById("legend");
  const key = (words, make) => { const span = node(legend, "span"); make(svg(span, "svg", { viewBox: "0 0 18 12" })); span.append(words); };
  const block = (kind) => (to) => svg(to, "rect", { class: kind, width: 18, height: 12 });
  key("written here", (to) => svg(to, "circle", { class: "writ", cx: 9, cy: 6, r: 3.6 }));
  key("arrived", (to) => svg(to, "path", { class: "came", d: "M9 1V11" }));
  key("share of its events held", block("held"));
  const kinds = new Set(history.bands.map((band) => band.kind));
  if (kinds.has("partition")) key("one side of a partition", block("partition0")), key("the other", block("partition1"));
  if (kinds.has("silence")) key("not heard", block("silence0")), key("not hearing", block("silence1"));
  for (const [kind, words] of [["down", "crashed, down"], ["offline", "offline"], ["removed", "removed"], ["nat", "behind a NAT"]])
    if (kinds.has(kind)) key(words, block(kind));
  for (const kind of kinds)
    if (!["partition", "silence", "down", "offline", "removed", "nat"].includes(kind)) key(kind, (to) => svg(to, "rect", { class: "lasting", y: 8, width: 18, height: 3 }));
  key("in no space yet", block("absent"));
  key("joins", (to) => svg(to, "path", { class: "mark", d: "M5 6h8M9 2v8" }));
  if (history.marks.some((mark) => mark.kind === "clock")) key("clock set", (to) => svg(to, "path", { class: "mark", d: "M5 6a4 4 0 1 1 8 0a4 4 0 1 1 -8 0M9 3v3h2" }));
  if (history.marks.some((mark) => !["join", "found", "clock", "refused", "crashed"].includes(mark.kind))) key("something else", (to) => svg(to, "path", { class: "mark", d: "M5 6l4 -4l4 4l-4 4Z" }));
  key("refused, failed", (to) => svg(to, "path", { class: "mark refused", d: "M6 3l6 6m0 -6l-6 6" }));
  filter();
})();
