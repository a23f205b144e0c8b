// The live page: what the device says, or what it says of this browser's own camera.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;
const retryMs = 1000;
let own = null; // the browser's camera: {stream, socket}
let linked = false;

function show(state) {
  const known = state.status === "ok";
  at("model").textContent = state.model ?? "";
  if (state.label === undefined) return;
  at("label").textContent = known ? state.label : "unknown";
  at("label").className = known ? "" : "unknown";
  at("confidence").textContent = known ? percent(state.confidence) : `${percent(state.confidence)}, perhaps ${state.label}`;
  at("bars").replaceChildren(...state.ranking.slice(0, 3).map(([label, share]) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    const value = document.createElement("span");
    const bar = document.createElement("progress");
    name.textContent = label;
    value.textContent = percent(share);
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-label", label);
    row.append(name, value, bar);
    return row;
  }));
  drawInput(state.input, state.input_shape);
  at("rate").textContent = state.frames_per_second?.toFixed(0) ?? "–";
  at("latency").textContent = `${state.latency_ms.toFixed(1)} ms`;
  at("age").textContent = state.age_ms === undefined ? "–" : `${state.age_ms.toFixed(0)} ms`;
  at("dropped").textContent = state.dropped?.toLocaleString() ?? "–";
}

function drawInput(encoded, [height, width, channels]) {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const canvas = at("input");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showHistory(history) {
  const strip = at("history");
  const last = history.at(-1)?.time ?? "";
  if (strip.dataset.last === last) return;
  strip.dataset.last = last;
  strip.replaceChildren(...history.map((entry) => {
    const item = document.createElement("li");
    const when = document.createElement("time");
    when.dateTime = entry.time;
    when.textContent = new Date(entry.time).toLocaleTimeString();
    item.className = entry.status === "ok" ? "" : "unknown";
    item.append(entry.status === "ok" ? entry.label : `unknown (${entry.label}?)`, when);
    return item;
  }));
  strip.scrollLeft = strip.scrollWidth;
}

function notice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

function link(on) {
  if (on && !linked) at("stream").src = `stream.mjpg?${Date.now()}`; // a broken picture does not mend itself
  linked = on;
  at("link").textContent = on ? "live" : "the device does not answer, trying again";
  at("link").className = on ? "on" : "";
}

function follow() {
  const events = new EventSource("api/events");
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    link(true);
    showHistory(state.history);
    if (!own) {
      show(state);
      notice(state.notice);
    }
  });
  events.onerror = () => {
    link(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, retryMs);
  };
}

async function useOwn() {
  if (!window.isSecureContext) {
    at("said").textContent = "Browsers give their camera only to HTTPS or localhost: start edge-fm webcam with --tls self, or open this page on the device itself.";
    return;
  }
  const mine = { stream: null }; // at once, so that a second click opens no second stream
  own = mine;
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "environment" } });
  } catch (error) {
    if (own !== mine) return;
    own = null;
    at("said").textContent = `This browser's camera is not available: ${error.message || error.name}`;
    return;
  }
  if (own !== mine) {
    stream.getTracks().forEach((track) => track.stop());
    return;
  }
  at("said").textContent = "";
  mine.stream = stream;
  const video = at("own");
  video.srcObject = stream;
  await video.play();
  if (own !== mine) return;
  pressed(true);
  connect(video);
}

function connect(video) {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/camera`);
  const mine = own;
  const canvas = document.createElement("canvas");
  own.socket = socket;
  const send = () => {
    if (own !== mine || socket.readyState !== WebSocket.OPEN) return;
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && socket.readyState === WebSocket.OPEN && socket.send(blob), "image/jpeg", 0.85);
  };
  socket.onopen = () => { notice(""); send(); };
  socket.onmessage = (event) => {
    const state = JSON.parse(event.data);
    if (own !== mine) return;
    if (state.error) notice(state.error);
    else show(state);
    setTimeout(send, 15); // one frame in flight, thirty a second at most
  };
  socket.onclose = (event) => {
    if (own !== mine) return;
    notice(event.reason || "the device does not answer, trying again");
    setTimeout(() => own === mine && connect(video), retryMs);
  };
}

function useDevice() {
  const left = own;
  own = null;
  left?.socket?.close();
  left?.stream?.getTracks().forEach((track) => track.stop());
  at("own").srcObject = null;
  at("said").textContent = "";
  notice("");
  pressed(false);
}

function pressed(mine) {
  at("use-own").setAttribute("aria-pressed", mine);
  at("use-device").setAttribute("aria-pressed", !mine);
  at("own").hidden = at("square").hidden = !mine;
  at("stream").hidden = mine;
  at("snapshot").disabled = mine;
}

async function snapshot() {
  try {
    const response = await fetch("api/snapshot", { method: "POST" });
    const kept = await response.json();
    at("said").textContent = kept.error ?? `Kept on the device as ${kept.file}: ${kept.label}, ${percent(kept.confidence)}`;
  } catch {
    at("said").textContent = "The device does not answer: no snapshot was kept.";
  }
}

at("use-own").addEventListener("click", () => own || useOwn());
at("use-device").addEventListener("click", useDevice);
at("snapshot").addEventListener("click", snapshot);
follow();
