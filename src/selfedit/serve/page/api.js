// The server's native API: JSON, uploads, and streams of events. The key, if one is needed, stays in
// this tab.

const KEY = "selfedit-key";
let asking = null;

function key() {
  try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; }
}

export const hasKey = () => key() !== "";

function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const field = document.getElementById("key-field");
    dialog.addEventListener("close", () => {
      asking = null;
      try { sessionStorage.setItem(KEY, field.value.trim()); } catch { /* a private window */ }
      field.value = "";
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** A reply of the server. Throws an Error with what the server says is wrong. */
export async function call(path, { headers = {}, ...options } = {}) {
  for (let tries = 0; ; tries += 1) {
    const auth = key() ? { authorization: `Bearer ${key()}` } : {};
    let reply;
    try {
      reply = await fetch(path, { ...options, headers: { ...auth, ...headers } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server cannot be reached. Is it still running?");
    }
    if (reply.ok) return reply;
    if (reply.status === 401 && tries < 3) {
      await askForKey();
      continue;
    }
    throw new Error(await reason(reply));
  }
}

async function reason(reply) {
  try {
    return (await reply.json()).error.message;
  } catch {
    return `The server answered ${reply.status}.`;
  }
}

export const get = async (path) => (await call(path)).json();

export const post = async (path, body) =>
  (await call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();

/** Upload a file; its id. */
export async function upload(file) {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", file, file.name);
  return (await (await call("/v1/files", { method: "POST", body: form })).json()).id;
}

/**
 * The events of a job until its end, across broken connections. One that waits for its turn is looked at
 * now and then: a browser has six connections to a server, and those of six jobs would leave none.
 */
export async function* events(job, signal) {
  const path = `/api/jobs/${encodeURIComponent(job)}`;
  let last = "";
  for (;;) {
    try {
      const { status } = await (await call(path, { signal })).json();
      const headers = { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
      for await (const block of status === "queued" ? [] : blocks((await call(`${path}/events`, { headers, signal })).body)) {
        const event = parsed(block);
        if (event.id) last = event.id;
        if (event.data) yield { ...event.data, type: event.type };
        if (event.type === "end") return;
      }
    } catch (error) {
      if (signal?.aborted) return;
    }
    await new Promise((done) => setTimeout(done, 1500));
    if (signal?.aborted) return;
  }
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 2);
    }
  }
}

function parsed(block) {
  const event = { type: "message", id: "", data: null };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "event") event.type = value;
    if (name === "id") event.id = value;
    if (name === "data") event.data = JSON.parse(value);
  }
  return event;
}
