// Server-sent events out of the body of a POST, which the browser's own EventSource cannot send.
// Owns the wire format (WHATWG HTML, "server-sent events"); leaves meaning to api.js.

/**
 * The events of a stream, one by one as they arrive.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{event: string, data: string}>}
 */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let pending = blank();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (take(pending, line.endsWith("\r") ? line.slice(0, -1) : line)) {
          if (pending.data.length > 0) yield { event: pending.event, data: pending.data.join("\n") };
          pending = blank();
        }
      }
    }
  } finally {
    // A reader that stops listening tells the server so, which frees its slots.
    await reader.cancel().catch(() => {});
  }
}

function blank() {
  return { event: "message", data: [] };
}

/** Adds a line to the event; true when it ends it. */
function take(pending, line) {
  if (line === "") return true;
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "event") pending.event = value;
  if (field === "data") pending.data.push(value);
  return false;
}
