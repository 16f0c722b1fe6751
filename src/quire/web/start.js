// The first screen: create an identity and a space, or join one with a link.

import { byId } from "./elements.js";

const LOOK_MS = 500; // between looks at whether a member has answered

// Show it for `identity` (undefined where the home has none yet); resolves with what to open:
// `{identity, space}` (public key, id), or null when the person went back. With `pending`, a space
// that `identity` has asked to be let into, it waits for that.
export function start(api, identity, canGoBack, pending = null) {
  const screen = byId("start");
  const back = byId("start-back");
  for (const form of screen.querySelectorAll("form")) form.reset();
  byId("start-error").textContent = "";
  showWait("");
  for (const label of screen.querySelectorAll(".your-name")) {
    label.hidden = identity !== undefined && label.closest("form").id === "create";
    const input = label.querySelector("input");
    input.required = !label.hidden;
    if (identity !== undefined) input.value = identity.name;
  }
  back.hidden = !canGoBack;
  screen.hidden = false;
  if (!pending) screen.querySelector("label:not([hidden]) input").focus();
  return new Promise((resolve) => {
    const leave = (result) => {
      screen.hidden = true;
      resolve(result);
    };
    byId("create").onsubmit = (event) => submit(event, async (form) => leave(await create(api, identity, form)));
    byId("join").onsubmit = (event) => submit(event, async (form) => leave(await join(api, form)));
    back.onclick = () => leave(null);
    if (pending) {
      letIn(api, identity.pubkey, pending).then(
        () => leave({ identity: identity.pubkey, space: pending.space_id }),
        (error) => (byId("start-error").textContent = error.message),
      );
    }
  });
}

async function submit(event, action) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  byId("start-error").textContent = "";
  try {
    await action(new FormData(event.target));
  } catch (error) {
    byId("start-error").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

async function create(api, identity, form) {
  const person = identity ?? (await madeIdentity(api, form.get("person").trim()));
  const space = await api.call("createSpace", { name: form.get("space").trim() }, { as: person.pubkey });
  return { identity: person.pubkey, space: space.space_id };
}

// Trying again after the space's name was refused must not make a second identity.
async function madeIdentity(api, name) {
  const known = await api.call("listIdentities", {}, {});
  return known.find((one) => one.name === name) ?? (await api.call("createIdentity", { name }, {}));
}

// Wait until a member's node has let us in; the node asks by itself, also when this page is closed.
async function letIn(api, name, joined) {
  try {
    while (!byId("start").hidden) {
      const status = await api.call("getStatus", {}, { as: name });
      const space = status.identities[0].spaces.find((one) => one.space_id === joined.space_id);
      if (space.refused) throw new Error(`You were ${space.joining}. Ask whoever gave you the link for a new one.`);
      if (!space.joining) return;
      showWait(`${joined.name}: ${space.joining}… This page opens the space then; it may be closed meanwhile.`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } finally {
    showWait("");
  }
}

// A wait is no error; it stands above the forms, where it is seen on a phone.
function showWait(text) {
  const wait = byId("start-wait");
  if (wait.textContent === text) return;
  wait.textContent = text;
  wait.hidden = !text;
  if (text) wait.scrollIntoView({ block: "nearest" });
}

async function join(api, form) {
  const name = form.get("person").trim();
  const joined = await api.call("joinSpace", { link: form.get("link"), name }, {});
  if (joined.waiting) await letIn(api, name, joined);
  const identities = await api.call("listIdentities", {}, {});
  return { identity: identities.find((one) => one.name === name)?.pubkey, space: joined.space_id };
}
