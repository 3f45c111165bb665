// Runs the network with ONNX Runtime in a worker. No module worker, because browsers start none from a page that was
// opened from a disk.
"use strict";

let runtime;
let session;

async function load({ runtime: script, wasm, network }) {
  runtime = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  runtime.env.wasm.numThreads = 1; // more need headers of a server
  runtime.env.wasm.wasmBinary = wasm;
  runtime.env.logLevel = "error";
  session = await runtime.InferenceSession.create(network, { executionProviders: ["wasm"] });
}

async function predict({ count, image, mask }, side) {
  const patches = {
    image: new runtime.Tensor("uint8", image, [count, side, side, 3]),
    mask: new runtime.Tensor("uint8", mask, [count, side, side]),
  };
  return (await session.run(patches)).foreground.data;
}

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ result: data.network ? await load(data) : await predict(data.patches, data.side) });
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
};
