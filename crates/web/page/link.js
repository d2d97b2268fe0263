// The worker that holds the WebSocket. What comes in goes into a ring in shared memory, which the engine's
// worker waits on; what the engine posts goes out. Nothing here ever waits, so the server's writes never do.
//
// Ring: Int32 words STATE = [written, read, closed, starving], then bytes. `written` and `read` count modulo
// 2^32; only this worker changes `written` and `closed`, only the engine changes `read`.

const WRITTEN = 0, READ = 1, CLOSED = 2, STARVING = 3;
const HEADER = 16;
const MOST = 256 * 1024; // bytes of one message to the server

let socket, state, ring, engine;
let waiting = [], ended = false;
let counts = { sent: 0, received: 0 };

onmessage = ({ data }) => {
  state = new Int32Array(data.shared, 0, 4);
  ring = new Uint8Array(data.shared, HEADER);
  engine = data.port;
  socket = new WebSocket(data.server, "gazelle-1");
  socket.binaryType = "arraybuffer";
  let open = false, early = [];
  socket.onopen = () => {
    open = true;
    early.forEach(send);
    early = [];
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") { socket.close(); return; }
    counts.received += data.byteLength;
    waiting.push(new Uint8Array(data));
    fill();
  };
  socket.onclose = () => { ended = true; fill(); };
  socket.onerror = () => {};
  engine.onmessage = ({ data }) => {
    if (data === "room") fill();
    else if (data === "close") socket.close();
    else if (open) send(data);
    else early.push(data);
  };
};

function send(bytes) {
  counts.sent += bytes.byteLength;
  for (let at = 0; at < bytes.byteLength; at += MOST) {
    if (socket.readyState === WebSocket.OPEN) socket.send(bytes.subarray(at, at + MOST));
  }
}

// Moves what is waiting into the ring, as far as there is room.
function fill() {
  while (waiting.length > 0) {
    const written = Atomics.load(state, WRITTEN), read = Atomics.load(state, READ);
    const room = ring.length - ((written - read) >>> 0);
    const piece = waiting[0].subarray(0, room);
    if (piece.length === 0) {
      // The engine says "room" once it has read; look again, for it may have done so by now.
      if (Atomics.exchange(state, STARVING, 1) === 0) continue;
      break;
    }
    const start = (written >>> 0) % ring.length;
    const first = piece.subarray(0, ring.length - start);
    ring.set(first, start);
    ring.set(piece.subarray(first.length), 0);
    if (piece.length === waiting[0].length) waiting.shift();
    else waiting[0] = waiting[0].subarray(piece.length);
    Atomics.store(state, WRITTEN, (written + piece.length) | 0);
    Atomics.notify(state, WRITTEN);
  }
  if (ended && waiting.length === 0) {
    Atomics.store(state, CLOSED, 1);
    Atomics.notify(state, WRITTEN);
  }
}

// The page shows how many bytes have moved.
setInterval(() => postMessage(counts), 200);
