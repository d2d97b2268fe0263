// The tab: takes a file, starts the two workers, shows what they say. Texts of files and servers are only ever
// set as text, never as markup.

const RING = 1 << 20; // bytes; a power of two
const HEADER = 16;
const LARGEST = 1 << 30;
const SHOWN = 10;

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

const TROUBLE = {
  file: "This file cannot be used.",
  gone: "The server is gone: the connection ended before there was an answer. It has learnt nothing about your image.",
  slow: "The server has not answered for two minutes.",
  quota: "You have used up the predictions that this server allows you.",
  busy: "The server is full, and could not keep you in line. Try again later.",
  refused: "The server refused.",
  changed: "The server now offers another model than the one shown above. Reload this page and look at its digest.",
  limit: "This model asks for more than a browser tab can hold. Use the gazelle program instead.",
  protocol: "The two sides could not work together.",
  defect: "Something is wrong with this page.",
};

// Compiled once: the workers share it, and what the browser has made of its hot parts.
const compiled = WebAssembly.compileStreaming(fetch(new URL("gazelle_bg.wasm", import.meta.url)));
compiled.catch(() => {}); // each call says so
let models = [];
let current = null; // { end, timer }
let taken = null; // the file that "Try again" takes again, chosen or dropped

root.dataset.state = "starting";
if (!self.crossOriginIsolated || typeof SharedArrayBuffer === "undefined") {
  fail("defect: whoever serves it must send the headers Cross-Origin-Opener-Policy: same-origin and "
    + "Cross-Origin-Embedder-Policy: require-corp, over HTTPS or from this machine.");
} else {
  look();
}

function server() {
  const said = document.querySelector("meta[name=gazelle-server]").content;
  if (said) return said;
  const here = new URL("gazelle", location.href);
  here.protocol = here.protocol === "https:" ? "wss:" : "ws:";
  here.search = here.hash = "";
  return here.href;
}

// Starts both workers for one call; `told` gets what the engine says.
function call(request, transfer, told, counted) {
  const shared = new SharedArrayBuffer(HEADER + RING);
  const { port1, port2 } = new MessageChannel();
  const link = new Worker("link.js");
  const engine = new Worker("engine.js", { type: "module" });
  link.onmessage = ({ data }) => counted(data);
  link.postMessage({ shared, server: server(), port: port1 }, [port1]);
  engine.onmessage = ({ data }) => told(data);
  engine.onerror = (event) => {
    event.preventDefault();
    // Without a message it is the file that did not come.
    told({ kind: "error", text: event.message ? `defect: ${event.message}` : "gone: the engine cannot be loaded" });
  };
  compiled.then(
    (module) => engine.postMessage({ ...request, module, shared, port: port2 }, [port2, ...transfer]),
    () => told({ kind: "error", text: "gone: the engine cannot be loaded" }));
  return () => {
    engine.terminate();
    // The other worker still says goodbye to the server.
    setTimeout(() => link.terminate(), 500);
  };
}

// Asks the server which models it has.
function look() {
  const end = call({ call: "catalogue" }, [], (said) => {
    end();
    if (said.kind === "error") return fail(said.text);
    models = JSON.parse(said.text);
    root.dataset.blocks = said.blocks;
    const blocks = (said.blocks / 1e6).toFixed(1);
    $("engine").textContent = `The engine runs in WebAssembly in this tab, at ${blocks} million AES blocks per `
      + "second; the gazelle program uses the processor's own AES instructions and is faster.";
    console.info(`AES-128 in this tab: ${blocks} million blocks per second`);
    if (models.length === 0) return fail("refused: it has no models.");
    $("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
    $("model-choice").hidden = models.length === 1;
    show();
    state("ready");
  }, () => {});
}

$("model").addEventListener("change", show);

function chosen() {
  return models[Math.max(0, $("model").selectedIndex)];
}

function show() {
  const { name, digest, input: [channels, height, width], classes, reveals, left } = chosen();
  const colours = { 1: "grey", 3: "colour" }[channels] ?? `${channels}-channel`;
  $("model-name").textContent = name;
  $("model-input").textContent = `${colours} images, ${width} × ${height} after scaling`;
  const what = { logits: "the value of each", class: "which is best" }[reveals] ?? "the best few";
  $("model-reveals").textContent = `${what} of ${classes} classes`;
  $("model-left").textContent = left === undefined ? "as many as you like" : `${left} predictions`;
  $("model-digest").textContent = digest;
}

const drop = $("drop");
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
document.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
$("file").addEventListener("change", () => take($("file").files[0]));
$("again").addEventListener("click", () => (models.length === 0 ? location.reload() : take(taken)));

async function take(file) {
  if (!file || models.length === 0) return;
  taken = file;
  stop(current);
  $("answer").hidden = true;
  $("trouble").hidden = true;
  $("again").hidden = true;
  $("preview").hidden = true;
  if (file.size > LARGEST) return fail("file: it is larger than 1 GiB.");
  state("running");
  const bytes = await file.arrayBuffer();
  // What the browser cannot draw, the engine shows once it knows the model.
  createImageBitmap(new Blob([bytes])).then((bitmap) => draw(bitmap, file.name), () => {});
  run(file.name, bytes);
}

function draw(source, name) {
  const canvas = $("picture");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  if (source instanceof ImageData) context.putImageData(source, 0, 0);
  else context.drawImage(source, 0, 0);
  $("caption").textContent = `${name}, ${source.width} × ${source.height}`;
  $("preview").hidden = false;
}

function run(name, bytes) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  const { name: model, digest } = chosen();
  status("Connecting to the server …");
  $("progress").removeAttribute("value");
  const timer = setInterval(() => { $("time").textContent = seconds(); }, 100);
  const end = call({ call: "infer", model, digest, name, file: bytes }, [bytes], (said) => {
    if (said.kind === "event") return event(said.event);
    if (said.kind === "picture") {
      if ($("preview").hidden) draw(new ImageData(said.pixels, said.width, said.height), name);
      return;
    }
    clearInterval(timer);
    $("time").textContent = seconds();
    // The last counts come within a moment.
    setTimeout(() => stop(mine), 300);
    if (said.kind === "error") return fail(said.text);
    finish(said.answer, seconds());
  }, ({ sent, received }) => {
    $("sent").textContent = size(sent);
    $("received").textContent = size(received);
  });
  const mine = { end, timer };
  current = mine;
}

function stop(ended) {
  if (!ended) return;
  clearInterval(ended.timer);
  ended.end();
  if (current === ended) current = null;
}

function event(said) {
  const bar = $("progress");
  if (said.event === "line") status(`The server is full: place ${said.place} in line.`);
  if (said.event === "phase") {
    const phase = {
      setup: "Setting up keys with the server …",
      offline: "Making random masks with the server; nothing depends on your image yet …",
      online: "Sending the masked image …",
    }[said.phase];
    status(phase);
  }
  if (said.event === "layer") {
    bar.value = (said.phase === "online" ? 0.8 : 0) + (said.phase === "online" ? 0.2 : 0.8) * (said.done / said.of);
    const what = said.phase === "online" ? "Computing" : "Preparing";
    status(`${what} layer ${said.done} of ${said.of}: ${said.layer}`);
  }
}

function finish(answer, time) {
  const best = answer.tie ? `a tie of ${answer.tied.length} classes` : answer.label;
  $("best").textContent = best || "nothing was revealed";
  $("notices").replaceChildren(...answer.notices.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  const value = ({ logit }) => (logit === undefined ? "not revealed" : logit.toFixed(4));
  const share = ({ class: at }) => (answer.probabilities ? `${(100 * answer.probabilities[at]).toFixed(1)} %` : "–");
  rows("classes", answer.top.slice(0, SHOWN).map((ranked) => [ranked.label, value(ranked), share(ranked)]));
  for (const row of $("classes").rows) row.cells[2].hidden = !answer.probabilities;
  rows("layers", answer.layers.map(({ name, protocol, offline, online }) => [name, protocol, cost(offline), cost(online)]));
  const section = $("answer");
  section.dataset.values = answer.values.join(" ");
  section.dataset.scale = answer.scale;
  section.hidden = false;
  $("progress").value = 1;
  status(`Done in ${time}.`);
  state("done");
  section.focus();
}

function rows(id, all) {
  $(id).tBodies[0].replaceChildren(...all.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

// A number and its unit stay on one line.
function cost({ seconds, bytes_sent, bytes_received }) {
  return `${seconds.toFixed(2)}\u00a0s, ${size(bytes_sent + bytes_received)}`;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes}\u00a0B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)}\u00a0kB` : `${(bytes / 1e6).toFixed(1)}\u00a0MB`;
}

// `text` is `kind: details`.
function fail(text) {
  const [, kind, details] = /^(\w+): ([^]*)$/.exec(text) ?? [null, "defect", text];
  const trouble = $("trouble");
  trouble.textContent = `${TROUBLE[kind] ?? TROUBLE.protocol} (${details})`;
  trouble.hidden = false;
  $("progress").value = 0;
  $("again").hidden = false;
  status("Stopped.");
  root.dataset.trouble = TROUBLE[kind] ? kind : "protocol";
  state("failed");
}

function status(text) {
  $("status").textContent = text;
}

function state(now) {
  root.dataset.state = now;
}
