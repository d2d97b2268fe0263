// The worker in which the client's protocols run. They block: reading waits on the ring that link.js fills.
// It is used for one call, then ended by the page, so that nothing of an image outlives its prediction here.

import init, { blocksPerSecond, catalogue, infer } from "./gazelle.js";

const WRITTEN = 0, READ = 1, CLOSED = 2, STARVING = 3;
const HEADER = 16;
const PATIENCE = 120_000; // milliseconds without a byte

class Link {
  constructor(shared, port) {
    this.state = new Int32Array(shared, 0, 4);
    this.ring = new Uint8Array(shared, HEADER);
    this.port = port;
  }

  read(into) {
    const { state, ring } = this;
    const read = Atomics.load(state, READ);
    for (;;) {
      const closed = Atomics.load(state, CLOSED);
      const written = Atomics.load(state, WRITTEN);
      const there = (written - read) >>> 0;
      if (there > 0) {
        const start = (read >>> 0) % ring.length;
        const count = Math.min(there, into.length, ring.length - start);
        into.set(ring.subarray(start, start + count));
        Atomics.store(state, READ, (read + count) | 0);
        if (Atomics.exchange(state, STARVING, 0) === 1) this.port.postMessage("room");
        return count;
      }
      if (closed) return 0;
      // The stream's end is told by a notification on the same word, whose value does not change.
      const slice = Math.min(PATIENCE, 1000);
      let patience = PATIENCE;
      while (Atomics.load(state, WRITTEN) === written && Atomics.load(state, CLOSED) === 0) {
        if (patience <= 0) return -1;
        if (Atomics.wait(state, WRITTEN, written, slice) === "timed-out") patience -= slice;
      }
    }
  }

  write(bytes) {
    // Looked at before the bytes are posted: a server that has heard them may answer and close at once.
    if (Atomics.load(this.state, CLOSED) === 1) return false;
    const copy = bytes.slice();
    this.port.postMessage(copy, [copy.buffer]);
    return true;
  }

  picture(width, height, channels, bytes) {
    const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let at = 0; at < width * height; at += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        pixels[4 * at + channel] = bytes[channels * at + (channels === 3 ? channel : 0)];
      }
    }
    postMessage({ kind: "picture", width, height, pixels }, [pixels.buffer]);
  }

  tell(event) {
    postMessage({ kind: "event", event: JSON.parse(event) });
  }
}

onmessage = async ({ data }) => {
  try {
    await init({ module_or_path: data.module });
    const link = new Link(data.shared, data.port);
    if (data.call === "catalogue") {
      postMessage({ kind: "catalogue", text: catalogue(link), blocks: blocksPerSecond() });
    } else {
      const file = new Uint8Array(data.file);
      const answer = infer(link, data.model, data.digest, data.name, file);
      postMessage({ kind: "answer", answer: JSON.parse(answer) });
    }
  } catch (error) {
    postMessage({ kind: "error", text: error instanceof Error ? error.message : String(error) });
  }
  data.port.postMessage("close");
};
