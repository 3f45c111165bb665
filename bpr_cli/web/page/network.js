// The network that the page holds, unpacked and started in workers.
"use strict";

/** At most so many workers; each needs some 100 MB. */
const MOST_WORKERS = 4;

/** The content of an embedded file: base64 of gzip, in a script element that no browser runs. */
async function embedded(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) packed[index] = text.charCodeAt(index);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Starts one worker; resolves to a function that predicts patches, for one call at a time. */
async function startWorker(address, parts, side) {
  const worker = new Worker(address);
  const ask = (message, transferred) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.result));
      worker.onerror = (event) => reject(new Error(event.message || "the worker cannot start"));
      worker.postMessage(message, transferred);
    });
  await ask(parts, []);
  return (patches) => ask({ patches, side }, [patches.image.buffer, patches.mask.buffer]);
}

/** Starts as many workers as there are cores; resolves to their functions. */
async function startNetwork(card) {
  const blobOf = (...parts) => URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
  const [wasm, network, runtime, worker] = await Promise.all(["wasm", "network", "runtime", "worker"].map(embedded));
  const address = blobOf(worker);
  const count = Math.max(1, Math.min(navigator.hardwareConcurrency || 1, MOST_WORKERS));
  return Promise.all(Array.from({ length: count }, () => startWorker(address, { runtime, wasm, network }, card.input_size)));
}
