// Waveform and histogram, drawn from counts: nothing is clipped, the range stands beside.

import { jobPath, read } from "./api.js";

const INK = { R: [235, 95, 85], G: [110, 205, 110], B: [95, 150, 255], Y: [220, 220, 220] };
const ROOM = { left: 52, right: 12, top: 10, bottom: 26 };
const FONT = "15px system-ui, sans-serif";

const counts = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
};

const ticks = (low, high) => {
  const raw = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) found.push(k * step);
  return found;
};

const words = (value) => String(Number(value.toPrecision(3)));

const blank = (id) => {
  const canvas = document.getElementById(id);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = FONT;
  const area = {
    x: ROOM.left, y: ROOM.top,
    width: canvas.width - ROOM.left - ROOM.right, height: canvas.height - ROOM.top - ROOM.bottom,
  };
  return { canvas, context, area };
};

// 0 and 1 stand out: what lies beyond them is negative or brighter than full code.
const rule = (context, value, x0, y0, x1, y1) => {
  context.strokeStyle = value === 0 || value === 1 ? "#8a7340" : "#2b2b2b";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
};

const withEnds = (low, high) => [...new Set([0, 1, ...ticks(low, high)])];

const drawWaveform = (told) => {
  const { context, area } = blank("waveform");
  const [low, high] = told.range;
  const { rows, columns } = told.waveform;
  const data = Object.entries(told.waveform.counts).map(([name, text]) => [INK[name], counts(text)]);
  const sheet = new OffscreenCanvas(columns, rows);
  const image = sheet.getContext("2d").createImageData(columns, rows);
  let top = 1;
  for (const [, values] of data) for (const v of values) if (v > top) top = v;
  const scale = 1 / Math.log1p(top);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const to = ((rows - 1 - row) * columns + column) * 4;
      for (const [ink, values] of data) {
        const v = values[row * columns + column];
        if (!v) continue;
        const light = 0.1 + 0.75 * Math.log1p(v) * scale;
        for (let c = 0; c < 3; c++) image.data[to + c] = Math.min(255, image.data[to + c] + ink[c] * light);
      }
      image.data[to + 3] = 255;
    }
  }
  sheet.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, area.x, area.y, area.width, area.height);
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of withEnds(low, high)) {
    const y = area.y + area.height * (1 - (value - low) / (high - low));
    rule(context, value, area.x, y, area.x + area.width, y);
    context.fillStyle = value === 0 || value === 1 ? "#d9a441" : "#959595";
    context.fillText(words(value), area.x - 7, y);
  }
};

const drawHistogram = (told) => {
  const { context, area } = blank("histogram");
  const [low, high] = told.range;
  const { bins, counts: all } = told.histogram;
  const place = (value) => area.x + area.width * (value - low) / (high - low);
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of withEnds(low, high)) {
    const x = place(value);
    rule(context, value, x, area.y, x, area.y + area.height);
    context.fillStyle = value === 0 || value === 1 ? "#d9a441" : "#959595";
    context.fillText(words(value), x, area.y + area.height + 6);
  }
  const top = Math.sqrt(Math.max(1, ...Object.values(all).flat()));
  context.globalCompositeOperation = "lighter";
  for (const [name, values] of Object.entries(all)) {
    context.fillStyle = "rgba(" + INK[name].join(",") + ",.5)";
    values.forEach((count, at) => {
      if (!count) return;
      const tall = area.height * Math.sqrt(count) / top;
      context.fillRect(area.x + area.width * at / bins, area.y + area.height - tall, area.width / bins + 0.5, tall);
    });
  }
  context.globalCompositeOperation = "source-over";
};

export const showScopes = async (job, number, kind, still) => {
  const told = await read(jobPath(job) + "/frames/" + number + "/scopes?kind=" + kind);
  if (!still()) return;
  drawWaveform(told);
  drawHistogram(told);
  const range = told.range.map(words).join(" to ");
  const what = (kind === "source" ? "Scan" : "Restored") + ", frame " + number + ": ";
  const few = told.every > 1 ? "; one px of " + told.every + " is plotted" : "";
  document.getElementById("scope-words").textContent =
    what + told.space + ", plotted from " + range + few + ". The file: " + told.words.join("; ") + ".";
  document.getElementById("waveform").setAttribute("aria-label", "Waveform. " + what + told.words.join("; "));
  document.getElementById("histogram").setAttribute("aria-label", "Histogram. " + what + told.words.join("; "));
};
