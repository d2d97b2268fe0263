// The page in headless Chromium, against real servers: `cargo xtask web` runs it.
//
// node browser.mjs PROGRAM FILES MODELS OUT           all tests; screenshots go to OUT
// node browser.mjs PROGRAM FILES MODELS OUT --time MODEL.onnx FILE...    times of one model

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [program, files, models, out, mode, ...rest] = process.argv.slice(2);
// The packages lie where they were installed, not beside this file.
const require = createRequire(join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const LONG = 300_000; // milliseconds: a loaded machine is slow
const home = mkdtempSync(join(tmpdir(), "gazelle-browser-"));
mkdirSync(out, { recursive: true });
const env = { ...process.env, GAZELLE_HOME: home };

// A server; where programs and browsers reach it.
function serve(model, more = []) {
  const child = spawn(program, ["serve", model, "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--web-files", files,
    "--quota-file", join(home, `quota-${Math.random()}.redb`), ...more], { env, stdio: ["ignore", "ignore", "pipe"] });
  const server = { child, kill: () => child.kill("SIGKILL") };
  return new Promise((resolve, reject) => {
    let text = "";
    child.stderr.on("data", (data) => {
      text += data;
      server.page ??= /page for browsers on (http:\S+)/.exec(text)?.[1];
      server.address ??= /listening on (\S+)/.exec(text)?.[1];
      if (server.page && server.address) resolve(server);
    });
    child.on("exit", () => reject(new Error(`the server ended: ${text}`)));
  });
}

// A way to a server on which each WebSocket is held up after so many bytes to the page; `end` cuts it.
async function heldUp(server, most) {
  const sockets = new Set();
  const door = createServer((near) => {
    const far = connect(Number(new URL(server.page).port), "127.0.0.1");
    let passed = -Infinity;
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => { other.destroy(); sockets.delete(socket); });
    }
    near.on("data", (data) => {
      if (/^upgrade: websocket/im.test(data.toString("latin1"))) passed = 0;
      far.write(data);
    });
    far.on("data", (data) => {
      passed += data.length;
      if (passed <= most) near.write(data);
      else held();
    });
  });
  let held;
  const holding = new Promise((resolve) => { held = resolve; });
  await new Promise((resolve) => { door.listen(0, "127.0.0.1", resolve); });
  const end = () => { door.close(); sockets.forEach((socket) => socket.destroy()); };
  return { page: `http://127.0.0.1:${door.address().port}/`, holding, end };
}

const root = (page) => page.locator("html");
const state = (page, ...states) => page.waitForFunction(
  (states) => states.includes(document.documentElement.dataset.state), states, { timeout: LONG, polling: 20 });

async function open(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => { throw error; });
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    const own = host === new URL(server.page).host || ["data:", "blob:"].includes(protocol);
    assert(own, `the page asked for ${request.url()}`);
  });
  page.on("console", (message) => {
    if (message.type() === "info") console.log(`  console: ${message.text()}`);
  });
  await page.goto(server.page);
  await state(page, "ready", "failed");
  assert.equal(await root(page).getAttribute("data-state"), "ready", await page.textContent("#trouble"));
  return page;
}

// Gives the page a file; how the prediction ended and how many seconds it took.
async function give(page, file) {
  const start = performance.now();
  await page.setInputFiles("#file", file);
  await state(page, "running", "failed", "done");
  await state(page, "failed", "done");
  const seconds = (performance.now() - start) / 1000;
  return { ended: await root(page).getAttribute("data-state"), seconds };
}

async function answer(page) {
  const section = page.locator("#answer");
  const values = (await section.getAttribute("data-values")).split(" ").map(Number);
  const scale = Number(await section.getAttribute("data-scale"));
  return { best: await page.textContent("#best"), logits: values.map((value) => value / 2 ** scale) };
}

async function trouble(page, kind, words) {
  assert.equal(await root(page).getAttribute("data-trouble"), kind, await page.textContent("#trouble"));
  assert.match(await page.textContent("#trouble"), words);
  assert(await page.isVisible("#trouble"));
}

async function accessible(page, what, rules = 20) {
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
  assert.deepEqual(found, [], what);
  assert(passes.length > rules, `${passes.length} rules were looked at`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${what}: ${wide} pixels too wide`);
}

// The grey values of a picture, row by row, and its size: the browser decodes it, on a page of its own.
async function greys(browser, file) {
  const page = await browser.newPage();
  const found = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { width, height, values: [...data].filter((_, at) => at % 4 === 0) };
  }, readFileSync(file).toString("base64"));
  await page.close();
  return found;
}

// A DICOM file (PS3.10, Explicit VR Little Endian) of 16-bit greys: each value ten times as large and 1000 less
// after the rescale, seen through the window that undoes both.
function dicom({ width, height, values }) {
  const even = (text, filler) => Buffer.from(text.length % 2 === 0 ? text : text + filler, "latin1");
  const element = (group, tag, vr, content) => {
    const body = typeof content === "number" ? Buffer.from(Uint16Array.of(content).buffer)
      : typeof content === "string" ? even(content, vr === "UI" ? "\0" : " ") : content;
    const long = vr === "OB" || vr === "OW";
    const head = Buffer.alloc(long ? 12 : 8);
    head.writeUInt16LE(group, 0);
    head.writeUInt16LE(tag, 2);
    head.write(vr, 4, "latin1");
    if (long) head.writeUInt32LE(body.length, 8);
    else head.writeUInt16LE(body.length, 6);
    return Buffer.concat([head, body]);
  };
  const meta = Buffer.concat([
    element(0x0002, 0x0001, "OB", Buffer.from([0, 1])),
    element(0x0002, 0x0002, "UI", "1.2.840.10008.5.1.4.1.1.7"),
    element(0x0002, 0x0003, "UI", "1.2.3.4"),
    element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1"),
    element(0x0002, 0x0012, "UI", "1.2.3"),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([
    Buffer.alloc(128), Buffer.from("DICM"), element(0x0002, 0x0000, "UL", length), meta,
    element(0x0010, 0x0010, "PN", "Doe^Jane"),
    element(0x0028, 0x0002, "US", 1),
    element(0x0028, 0x0004, "CS", "MONOCHROME2"),
    element(0x0028, 0x0010, "US", height),
    element(0x0028, 0x0011, "US", width),
    element(0x0028, 0x0100, "US", 16),
    element(0x0028, 0x0101, "US", 12),
    element(0x0028, 0x0102, "US", 11),
    element(0x0028, 0x0103, "US", 0),
    // PS3.3, C.11.2.1.2.1: (x - (centre - 0.5)) / (width - 1) + 0.5 is 0 at -1000 and 1 at 1550.
    element(0x0028, 0x1050, "DS", "275.5"),
    element(0x0028, 0x1051, "DS", "2551"),
    element(0x0028, 0x1052, "DS", "-1000"),
    element(0x0028, 0x1053, "DS", "1"),
    element(0x7fe0, 0x0010, "OW", Buffer.from(Uint16Array.from(values, (value) => 10 * value).buffer)),
  ]);
}

// Drops a file on the page, as from a file manager.
async function dropped(page, name, bytes) {
  const held = await page.evaluateHandle(([name, base64]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
    return transfer;
  }, [name, bytes.toString("base64")]);
  for (const kind of ["dragenter", "dragover", "drop"]) await page.dispatchEvent("#drop", kind, { dataTransfer: held });
  await state(page, "running", "failed", "done");
  await state(page, "failed", "done");
  return root(page).getAttribute("data-state");
}

const tests = {
  async "each sample gets the program's answer, bit for bit"(browser) {
    const model = join(models, "mnist_d_minionn");
    const samples = readdirSync(join(model, "samples")).filter((name) => name.endsWith(".png")).sort()
      .map((name) => join(model, "samples", name));
    assert(samples.length >= 5);
    const server = await serve(join(model, "model.onnx"));
    const said = execFileSync(program, ["infer", "--server", server.address, "--json", "--quiet", ...samples], { env });
    const expected = said.toString().trim().split("\n").map((line) => JSON.parse(line));
    const page = await open(browser, server);
    assert.equal((await page.textContent("#model-digest")).length, 64);
    const times = [];
    for (const [at, sample] of samples.entries()) {
      const { ended, seconds } = await give(page, sample);
      assert.equal(ended, "done", await page.textContent("#trouble"));
      const { best, logits } = await answer(page);
      assert.equal(best, expected[at].label);
      assert.deepEqual(logits, expected[at].logits);
      times.push(seconds);
    }
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1];
    console.log(`  MNIST-D in the browser: median ${median.toFixed(2)} s of ${times.length}, the time of `
      + `${(median * await price(page) / 1e6).toFixed(1)} million AES blocks there`);
    await page.screenshot({ path: join(out, "page-1280.png"), fullPage: true });
    // A ready tensor is never preprocessed, and has no picture.
    const tensor = readdirSync(join(model, "samples")).find((name) => name.endsWith(".npy"));
    if (tensor) assert.equal((await give(page, join(model, "samples", tensor))).ended, "done");
    server.kill();
  },

  async "a DICOM file that is dropped is seen, and gets the class of its picture"(browser) {
    const model = join(models, "mnist_d_minionn");
    const server = await serve(join(model, "model.onnx"));
    const page = await open(browser, server);
    const expected = JSON.parse(readFileSync(join(model, "expected.json")));
    for (const at of [0, 3]) {
      const name = `00${at}`;
      const sample = join(model, "samples", `${name}.png`);
      const picture = await greys(browser, sample);
      const file = join(home, `${name}.dcm`);
      writeFileSync(file, dicom(picture));
      const said = execFileSync(program, ["infer", "--server", server.address, "--json", "--quiet", sample, file], { env });
      const [plain, scanned] = said.toString().trim().split("\n").map((line) => JSON.parse(line));
      assert.deepEqual(scanned.logits, plain.logits);
      assert.equal(await dropped(page, `${name}.dcm`, readFileSync(file)), "done", await page.textContent("#trouble"));
      const { best, logits } = await answer(page);
      assert.equal(best, String(expected.samples[at].argmax));
      assert.deepEqual(logits, plain.logits);
      // The engine draws what no browser can.
      assert.match(await page.textContent("#caption"), new RegExp(`^${name}\\.dcm, ${picture.width} × ${picture.height}$`));
      const shown = await page.evaluate(() => {
        const { width, height } = document.querySelector("#picture");
        const { data } = document.querySelector("#picture").getContext("2d").getImageData(0, 0, width, height);
        return [...data].filter((_, at) => at % 4 === 0);
      });
      assert.deepEqual(shown, picture.values);
    }
    server.kill();
  },

  async "labels, contrast, width and keyboard are right in light and dark"(browser) {
    const model = join(models, "mnist_d_minionn");
    const server = await serve(join(model, "model.onnx"));
    const sample = join(model, "samples", readdirSync(join(model, "samples")).find((name) => name.endsWith(".png")));
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [390, 1280]) {
        const page = await open(browser, server, { colorScheme, viewport: { width, height: 844 } });
        const what = `${colorScheme}, ${width} pixels`;
        await accessible(page, `${what}, before`);
        assert.equal((await give(page, sample)).ended, "done", await page.textContent("#trouble"));
        assert.equal(await page.evaluate(() => document.activeElement.id), "answer");
        await page.locator("summary").press("Enter");
        assert(await page.isVisible("#layers"));
        await accessible(page, `${what}, after`);
        await page.screenshot({ path: join(out, `page-${colorScheme}-${width}.png`), fullPage: true });
        await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
        await state(page, "failed");
        await accessible(page, `${what}, in trouble`);
        await page.context().close();
      }
    }
    // By keyboard alone: the file's button and "Try again" are reached by tabs, and each focus is seen.
    const page = await open(browser, server);
    await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
    await state(page, "failed");
    const reached = [];
    for (let tab = 0; tab < 6; tab += 1) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement.id));
      if (reached.at(-1)) {
        assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
      }
    }
    assert(reached.includes("file") && reached.includes("again"), reached.join(" "));
    server.kill();
  },

  async "the report of ten images and the picture of a network are accessible, too"(browser) {
    const model = join(models, "mnist_d_minionn");
    const samples = readdirSync(join(model, "samples")).filter((name) => name.endsWith(".png")).sort().slice(0, 10)
      .map((name) => join(model, "samples", name));
    const [report, network] = ["report.html", "network.html"].map((name) => join(out, name));
    const server = await serve(join(model, "model.onnx"));
    execFileSync(program, ["infer", "--server", server.address, "--quiet", "--html", report, ...samples],
      { env, stdio: ["ignore", "ignore", "inherit"] });
    execFileSync(program, ["inspect", join(model, "model.onnx"), "--quiet", "--html", network],
      { env, stdio: ["ignore", "ignore", "inherit"] });
    server.kill();
    for (const [name, file] of Object.entries({ report, network })) {
      for (const colorScheme of ["light", "dark"]) {
        for (const width of [390, 1280]) {
          const context = await browser.newContext({ colorScheme, viewport: { width, height: 844 } });
          const page = await context.newPage();
          page.on("request", (request) => assert.match(request.url(), /^(file|data):/));
          await page.goto(pathToFileURL(file).href);
          await accessible(page, `${name}, ${colorScheme}, ${width} pixels`, 15);
          for (const picture of await page.locator("img").all()) assert.match(await picture.getAttribute("alt"), /\w/);
          for (const table of await page.locator("table").all()) assert(await table.locator("th[scope]").count() > 0);
          await page.screenshot({ path: join(out, `${name}-${colorScheme}-${width}.png`), fullPage: true });
          await context.close();
        }
      }
    }
  },

  async "a wrong file, a server that is gone and a spent quota are told in clear words"(browser) {
    const model = join(models, "mnist_d_minionn");
    const [sample, second] = readdirSync(join(model, "samples")).filter((name) => name.endsWith(".png")).sort()
      .map((name) => join(model, "samples", name));
    const server = await serve(join(model, "model.onnx"));
    const way = await heldUp(server, 100_000);
    const page = await open(browser, way);
    const wrong = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") };
    assert.equal((await give(page, wrong)).ended, "failed");
    await trouble(page, "file", /cannot be used.*notes\.txt/);
    // In the middle of a prediction, which the page cannot end by itself.
    await page.setInputFiles("#file", sample);
    await way.holding;
    assert.equal(await root(page).getAttribute("data-state"), "running");
    way.end();
    server.kill();
    await state(page, "failed", "done");
    await trouble(page, "gone", /server is gone/);
    await page.click("#again");
    await state(page, "running", "failed");
    await state(page, "failed");
    await trouble(page, "gone", /server is gone/);

    const strict = await serve(join(model, "model.onnx"), ["--max-inferences", "1"]);
    const other = await open(browser, strict);
    assert.match(await other.textContent("#model-left"), /^1 /);
    assert.equal((await give(other, sample)).ended, "done");
    // Another file: the same one would be no change of the input.
    assert.equal((await give(other, second)).ended, "failed");
    await trouble(other, "quota", /used up/);
    strict.kill();
  },

  async "a page of foreign origin cannot connect"(browser) {
    const server = await serve(join(models, "mnist_d_minionn", "model.onnx"));
    const page = await (await browser.newContext()).newPage();
    await page.goto("data:text/html,<title>foreign</title>");
    const url = server.page.replace("http:", "ws:") + "gazelle";
    const opened = await page.evaluate((url) => new Promise((resolve) => {
      const socket = new WebSocket(url, "gazelle-1");
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    }), url);
    assert.equal(opened, false);
    server.kill();
  },
};

// What the tab says that it makes, in blocks of AES per second.
const price = async (page) => Number(await root(page).getAttribute("data-blocks"));

// Seconds of each prediction, and how many blocks of AES the tab would have made in that time: it measures those
// before and after.
async function time(browser, model, inputs) {
  const server = await serve(model, ["--max-inferences", "1000"]);
  const page = await open(browser, server);
  const before = await price(page);
  const times = [];
  for (const input of inputs) {
    const { ended, seconds } = await give(page, input);
    await page.waitForTimeout(500); // the page counts bytes five times a second
    const shown = ended === "done" ? (await answer(page)).best : await page.textContent("#trouble");
    console.log(`${basename(input)}: ${seconds.toFixed(2)} s, ${shown}, ${await page.textContent("#sent")} sent, `
      + `${await page.textContent("#received")} received`);
    times.push(seconds);
  }
  await page.screenshot({ path: join(out, "time.png"), fullPage: true });
  await page.reload();
  await state(page, "ready");
  const rates = [before, await price(page)];
  const median = times.sort((a, b) => a - b)[times.length >> 1];
  const blocks = median * (rates[0] + rates[1]) / 2;
  console.log(`median ${median.toFixed(2)} s of ${times.length}, first or not; the tab makes `
    + `${rates.map((rate) => (rate / 1e6).toFixed(1)).join(" and ")} million AES blocks per second: `
    + `the time of ${(blocks / 1e6).toFixed(1)} million blocks`);
  server.kill();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  if (mode === "--time") {
    await time(browser, rest[0], rest.slice(1));
  } else {
    for (const [name, test] of Object.entries(tests)) {
      const start = performance.now();
      await test(browser);
      console.log(`ok: ${name}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
  }
} finally {
  await browser.close();
  rmSync(home, { recursive: true, force: true });
}
process.exit(0);
