// The page: which job, which frame, which view; keys; what moves while a job is at work.

import { change, jobPath, read } from "./api.js";
import { Fixes } from "./fixes.js";
import { isMoving, showJobs, showTop } from "./jobs.js";
import { Pictures } from "./pictures.js";
import { showScopes } from "./scopes.js";
import { Stage } from "./stage.js";

const el = (id) => document.getElementById(id);
const AHEAD = 4;
const NAMES = { restored: "restored", source: "scan", difference: "difference", matte: "matte" };

const say = (text, calm) => {
  el("message").hidden = !text;
  el("message").className = calm ? "calm" : "";
  el("message").textContent = text || "";
};
window.addEventListener("trouble", (event) => say(event.detail));

class Review {
  constructor(id) {
    this.id = id;
    this.job = null;
    this.shot = { frames: [] };
    this.at = 0;
    this.view = "restored";
    this.playing = 0;
    this.turn = 0;
    this.stage = new Stage();
    this.pictures = new Pictures(id);
    this.fixes = new Fixes(id, {
      onGo: (fix) => this.goTo(fix.frame),
      onTrouble: say,
      onPending: (count) => this.tellPending(count),
    });
  }

  get frame() {
    return this.shot.frames[this.at];
  }

  async open() {
    this.job = (await read(jobPath(this.id))).job;
    showTop(this.job);
    this.tellPending(0);
    try { await this.reload(); }
    catch (e) { this.refuse(e.message); }  // a job that has only begun has no frames on record
    this.watch();
  }

  // What is on record of the shot, anew.
  async reload() {
    const shot = await read(jobPath(this.id) + "/frames");
    const held = this.frame && this.frame.number;  // where the person has gone meanwhile
    this.shot = shot;
    const { frames } = this.shot;
    const wanted = frames.findIndex((f) => f.number === held);
    const first = frames.findIndex((f) => f.digest);
    this.at = wanted >= 0 ? wanted : Math.max(0, first);
    el("slider").max = Math.max(0, frames.length - 1);
    if (this.shot.trouble) say(this.shot.trouble);
    this.ticks();
    await Promise.all([this.fixes.load(), this.draw()]);
  }

  async watch() {
    let done = this.job.done;
    for (;;) {
      await new Promise((r) => setTimeout(r, isMoving(this.job) ? 700 : 3000));
      try {
        const was = this.job.state;
        this.job = (await read(jobPath(this.id))).job;
        showTop(this.job);
        this.tellPending(this.fixes.pending);
        if (this.job.done !== done || this.job.state !== was) {
          done = this.job.done;
          await this.reload();
          if (this.again && this.job.state === "done") say("Rendered again.", true);
          if (!isMoving(this.job)) this.again = false;
        }
      } catch (e) { say(e.message); }
    }
  }

  tellPending(count) {
    const moving = this.job && isMoving(this.job);
    el("rerender").disabled = moving || !count;
    this.fixes.moving = moving;
    el("pending").textContent = moving ? "rendering"
      : count ? count + (count === 1 ? " verdict" : " verdicts") + " to be rendered" : "";
  }

  async rerender() {
    if (el("rerender").disabled) {
      if (!isMoving(this.job)) say("Nothing to render: no verdict differs from what the frames show.", true);
      return;
    }
    try {
      this.job = (await change(jobPath(this.id) + "/rerender")).job;
      this.again = true;
      say("");
      showTop(this.job);
      this.tellPending(this.fixes.pending);
    } catch (e) { say(e.message); }
  }

  goTo(number) {
    const at = this.shot.frames.findIndex((f) => f.number === number);
    if (at >= 0) this.at = at;
    this.draw();
  }

  step(by) {
    this.stop();
    this.at = Math.max(0, Math.min(this.shot.frames.length - 1, this.at + by));
    this.draw();
  }

  setView(view) {
    this.view = this.view === view && view !== "restored" && view !== "source" ? "restored" : view;
    this.draw();
  }

  get(kind, frame) {
    const width = this.stage.width(this.wide);
    return this.pictures.get(kind, frame.number, { width, gain: el("gain").value, digest: frame.digest });
  }

  // Show the frame in the view; of several calls the last one counts.
  async draw() {
    const turn = ++this.turn;
    const frame = this.frame;
    this.tellView();
    if (!frame) return this.refuse("There are no frames yet.");
    const { view } = this;
    if (!frame.digest && view !== "source") {
      return this.refuse("Frame " + frame.number + (frame.error ? ": " + frame.error : " is not rendered yet; b shows the scan."));
    }
    el("stage").setAttribute("aria-busy", "true");
    try {
      const [right, left] = await Promise.all([
        this.get(view === "wipe" ? "restored" : view, frame),
        view === "wipe" ? this.get("source", frame) : null,
      ]);
      if (turn !== this.turn) return;
      this.refuse("");
      this.wide = right.facts.width;
      const fix = this.fixes.now;
      const marked = fix && fix.frame === frame.number && el("marks").getAttribute("aria-pressed") === "true";
      const label = "Frame " + frame.number + ", " + (view === "wipe" ? "scan left of the wipe, restored right of it" : NAMES[view]);
      this.stage.show({ left, right, box: marked ? fix.box : null, label });
      this.caption(right.facts, frame);
      if (marked) this.stage.reveal(fix.box);
    } catch (e) {
      if (turn === this.turn) this.refuse(e.message);
    }
    el("stage").removeAttribute("aria-busy");
    if (turn === this.turn) {
      this.ahead();
      if (!el("scopes").hidden && !this.playing) this.scopes(turn);
    }
  }

  refuse(text) {
    el("trouble").hidden = !text;
    el("trouble").textContent = text;
    el("stage").classList.toggle("refused", Boolean(text));  // the last picture is not this one
    if (text) el("caption").textContent = "";
    if (text) el("legend").replaceChildren();
  }

  ahead() {
    const kinds = this.view === "wipe" ? ["restored", "source"] : [this.view];
    const by = this.playing ? AHEAD : 1;
    for (let k = 1; k <= by; k++) {
      const frame = this.shot.frames[this.at + k];
      if (frame) for (const kind of kinds) this.get(kind, frame).catch(() => {});
    }
  }

  async scopes(turn) {
    const kind = this.view === "source" ? "source" : "restored";
    try { await showScopes(this.id, this.frame.number, kind, () => turn === this.turn); }
    catch (e) { el("scope-words").textContent = e.message; }
  }

  tellView() {
    for (const button of document.querySelectorAll("#views button")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === this.view));
    }
    el("gain-label").hidden = this.view !== "difference";
    el("legend").hidden = this.view !== "matte";
    el("tag-left").hidden = this.view !== "wipe";
    el("tag-right").textContent = this.view === "wipe" ? "restored" : NAMES[this.view];
    const frame = this.frame;
    el("slider").value = this.at;
    el("slider").setAttribute("aria-valuetext", frame ? "frame " + frame.number : "no frame");
    const last = this.shot.frames[this.shot.frames.length - 1];
    el("number").textContent = frame ? frame.number + " / " + last.number : "";
    this.ticks();
  }

  caption(facts, frame) {
    const said = [facts.width + " x " + facts.height];
    if (facts.view) said.push(facts.space + ", shown as " + facts.view);
    if (facts.gain) {
      said.push("restored less scan, " + facts.gain + " times, in " + facts.working + ", bright where the result is brighter");
      said.push("from " + facts.least.toPrecision(2) + " to " + facts.most.toPrecision(2));
    }
    if (facts.note) said.push(facts.note);
    if (frame.error) said.push(frame.error);
    else if (frame.digest) said.push(frame.fixed + " repaired, " + frame.left + " left alone, " + (100 * frame.changed).toFixed(2) + " % of pixels changed");
    else said.push(frame.status);
    el("caption").textContent = said.join("; ");
    el("legend").replaceChildren(...(facts.legend || []).map((entry) => {
      const item = document.createElement("li");
      const swatch = document.createElement("canvas");
      swatch.width = swatch.height = 1;
      const context = swatch.getContext("2d");
      context.fillStyle = entry.color || "#5a5a5a";
      context.fillRect(0, 0, 1, 1);
      item.append(swatch, entry.name + " " + (100 * entry.share).toFixed(entry.share < 0.1 ? 2 : 1) + " %");
      return item;
    }));
  }

  // How much was repaired on each frame, and where this one is.
  ticks() {
    const canvas = el("ticks");
    const { frames } = this.shot;
    canvas.width = Math.max(1, canvas.clientWidth);
    const context = canvas.getContext("2d");
    const most = Math.max(1, ...frames.map((f) => f.fixed));
    const room = 8;  // half of the slider's thumb
    frames.forEach((frame, at) => {
      const x = room + (canvas.width - 2 * room) * (frames.length > 1 ? at / (frames.length - 1) : 0.5);
      const tall = frame.digest ? 2 + 12 * frame.fixed / most : 2;
      context.fillStyle = at === this.at ? "#f2f2f2" : frame.error ? "#d9705c" : frame.digest ? "#8b7442" : "#444";
      context.fillRect(x - 1.5, 14 - tall, 3, tall);
    });
  }

  play() {
    if (this.playing) return this.stop();
    this.playing = 1;
    el("play").textContent = "Stop";
    el("play").setAttribute("aria-pressed", "true");
    this.run();
  }

  stop() {
    if (!this.playing) return;
    this.playing = 0;
    el("play").textContent = "Play";
    el("play").setAttribute("aria-pressed", "false");
  }

  async run() {
    const wait = 1000 / (this.shot.rate || 24);
    let due = performance.now();
    while (this.playing) {
      this.at = (this.at + 1) % Math.max(1, this.shot.frames.length);
      await this.draw();
      due = Math.max(due + wait, performance.now());
      await new Promise((r) => setTimeout(r, due - performance.now()));
    }
    this.draw();
  }

  toggle(id) {
    const on = el(id).getAttribute("aria-pressed") !== "true";
    el(id).setAttribute("aria-pressed", String(on));
    return on;
  }

  listen() {
    const onClick = (id, does) => el(id).addEventListener("click", does);
    const mark = () => { this.toggle("marks"); this.draw(); };
    const zoom = () => { this.stage.setActual(this.toggle("zoom")); this.draw(); };
    const scopes = () => { el("scopes").hidden = !this.toggle("scope-button"); this.draw(); };
    const flip = () => this.setView(this.view === "source" ? "restored" : "source");
    for (const button of document.querySelectorAll("#views button")) {
      button.addEventListener("click", () => { this.view = button.dataset.view; this.draw(); });
    }
    onClick("flip", flip);
    onClick("zoom", zoom);
    onClick("marks", mark);
    onClick("scope-button", scopes);
    onClick("play", () => this.play());
    onClick("rerender", () => this.rerender());
    el("gain").addEventListener("change", () => { this.draw(); el("gain").blur(); });
    el("slider").addEventListener("input", () => { this.stop(); this.at = Number(el("slider").value); this.draw(); });
    const last = () => this.shot.frames.length;
    return {
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      Home: () => this.step(-last()), End: () => this.step(last()),
      " ": () => this.play(), Enter: () => this.rerender(),
      w: () => this.setView("wipe"), d: () => this.setView("difference"), m: () => this.setView("matte"),
      s: scopes, b: flip, z: zoom, o: mark,
      n: () => this.fixes.step(1), p: () => this.fixes.step(-1),
      a: () => this.fixes.judge("accepted"), r: () => this.fixes.judge("rejected"), u: () => this.fixes.undo(),
    };
  }
}

const help = () => { if (!el("help").open) el("help").showModal(); };

// Keys of a control are its own; all others are the page's.
const isTaken = (target, key) => {
  if (target.tagName === "SELECT") return true;
  if (target.id === "cut") return key.startsWith("Arrow") || key === "Home" || key === "End";
  if (target.tagName === "BUTTON" || target.tagName === "A") return key === " " || key === "Enter";
  return false;
};

const start = async () => {
  const id = new URLSearchParams(location.search).get("job");
  let keys = {};
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || el("help").open) return;
    if (event.key !== "?" && isTaken(event.target, event.key)) return;
    const does = event.key === "?" ? help : keys[event.key];
    if (!does) return;
    event.preventDefault();
    if (el("message").className === "calm") say("");
    does();
  });
  el("keys").addEventListener("click", help);
  // A button of a closed dialog would keep the keys to itself until the next picture is drawn.
  el("help").addEventListener("close", () => document.activeElement.blur());
  if (id) {
    el("shot").hidden = false;
    const review = new Review(id);
    keys = review.listen();
    await review.open();
    return;
  }
  el("jobs").hidden = false;
  for (;;) {
    try { await showJobs(); } catch (e) { say(e.message); }
    await new Promise((r) => setTimeout(r, 1000));
  }
};

start().catch((e) => say(e.message));
