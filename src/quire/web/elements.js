// Building elements from data. Data becomes text and nothing else: no markup is ever parsed.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Replace the children of `parent`, but leave it alone when nothing changed, so that focus and
// screen readers are not disturbed by every poll.
export function fill(parent, key, children) {
  if (parent.dataset.key === key) return;
  parent.dataset.key = key;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
  const { scrollTop } = parent;
  parent.replaceChildren(...children());
  parent.scrollTop = scrollTop;
  if (focused !== undefined) [...parent.querySelectorAll("[data-id]")].find((e) => e.dataset.id === focused)?.focus();
}

// A function that runs `action` once, a little later, however often it is called until then.
export function soon(action, delay = 50) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      action();
    }, delay);
  };
}

export function localTime(ts, timeStyle = "short") {
  const date = new Date(ts);
  if (Number.isNaN(date.getTime())) return String(ts);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], today ? { timeStyle } : { dateStyle: "medium", timeStyle });
}
