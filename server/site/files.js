// The files of a site, by their address relative to the page. Owns fetching and unpacking them.

const ROOT = new URL("../", import.meta.url);

/** A file of the site; a packed one is unpacked, unless the host has done so. */
export async function file(path) {
  const response = await fetch(new URL(path, ROOT));
  if (!response.ok) throw new Error(`${path}: the host of this page answered ${response.status}; load the page again`);
  const bytes = await response.arrayBuffer();
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

/** A file of JSON, packed or not. */
export async function json(path) {
  return JSON.parse(new TextDecoder().decode(await file(path)));
}
