// The fixes of a shot: one close, all in a list, verdicts on them.

import { change, jobPath, read } from "./api.js";

const el = (id) => document.getElementById(id);
const STANDING = { applied: "repaired", left: "left alone", reverted: "taken back" };
const SIGN = { accepted: "\u2713", rejected: "\u2715" };

export class Fixes {
  // onGo(fix): a fix was chosen. onTrouble(text): something was refused.
  constructor(job, { onGo, onTrouble, onPending }) {
    Object.assign(this, { job, onGo, onTrouble, onPending });
    this.all = [];
    this.at = -1;
    this.judged = [];
    this.moving = false;
    this.fresh = false;
    this.total = 0;
    this.order = el("order").value;
    el("order").addEventListener("change", () => {
      this.order = el("order").value;
      this.load().catch((e) => onTrouble(e.message));
      el("order").blur();
    });
    el("accept").addEventListener("click", () => this.judge("accepted"));
    el("reject").addEventListener("click", () => this.judge("rejected"));
    el("undo").addEventListener("click", () => this.undo());
  }

  get now() {
    return this.all[this.at] || null;
  }

  // Verdicts that the frames do not show yet.
  get pending() {
    return this.all.filter((f) => (f.verdict === "rejected" && f.standing === "applied")
      || (f.verdict === "accepted" && f.standing === "left")).length;
  }

  async load() {
    const told = await read(jobPath(this.job) + "/fixes?order=" + this.order);
    const held = this.now && this.now.id;
    this.all = told.fixes;
    this.total = told.total;
    const at = this.all.findIndex((f) => f.id === held);
    this.at = at >= 0 ? at : Math.min(Math.max(this.at, -1), this.all.length - 1);
    this.list();
    this.tell();
    if (this.now) await this.close();
  }

  step(by) {
    if (!this.all.length) return;
    this.go(this.at < 0 ? (by > 0 ? 0 : this.all.length - 1) : this.at + by);
  }

  go(at) {
    if (at < 0 || at >= this.all.length) return;
    this.at = at;
    this.fresh = false;
    this.mark();
    this.tell();
    this.onGo(this.now);
    this.close().catch((e) => this.onTrouble(e.message));
  }

  async judge(verdict) {
    const fix = this.now;
    if (!fix) return;
    if (!await this.send(fix, verdict)) return;
    this.judged.push(fix.id);
    if (this.now === fix && this.at + 1 < this.all.length) this.step(1);
    this.fresh = true;
  }

  // Right behind a verdict that verdict is meant; else the one on this fix, else the last one.
  async undo() {
    let fix = !this.fresh && this.now && this.now.verdict ? this.now : null;
    while (!fix && this.judged.length) {
      const last = this.judged.pop();
      fix = this.all.find((f) => f.id === last && f.verdict) || null;
    }
    if (!fix) return;
    if (fix !== this.now) this.go(this.all.indexOf(fix));
    await this.send(fix, "");
  }

  async send(fix, verdict) {
    const key = { accepted: "accept", rejected: "reject", "": "clear" }[verdict];
    try { await change(jobPath(this.job) + "/decisions", { [key]: [fix.id] }); }
    catch (e) { this.onTrouble(e.message); return false; }
    fix.verdict = verdict;
    this.list();
    this.tell();
    return true;
  }

  list() {
    el("fix-list").replaceChildren(...this.all.map((fix, at) => {
      const item = document.createElement("li");
      item.id = "fix-" + at;
      item.setAttribute("role", "option");
      item.setAttribute("aria-label", fix.id + ", confidence " + fix.confidence.toFixed(2) + (fix.verdict ? ", " + fix.verdict : ""));
      const sign = document.createElement("b");
      sign.textContent = SIGN[fix.verdict] || "";
      sign.className = fix.verdict;
      const name = document.createElement("span");
      name.textContent = fix.id;
      const more = document.createElement("em");
      more.textContent = STANDING[fix.standing] + "  " + fix.confidence.toFixed(2);
      item.append(sign, name, more);
      item.addEventListener("click", () => this.go(at));
      return item;
    }));
    this.mark();
  }

  mark() {
    Array.from(el("fix-list").children).forEach((item, at) => {
      item.setAttribute("aria-selected", String(at === this.at));
      if (at === this.at) item.scrollIntoView({ block: "nearest" });
    });
    if (this.at >= 0) el("fix-list").setAttribute("aria-activedescendant", "fix-" + this.at);
  }

  tell() {
    const decided = this.all.filter((f) => f.verdict).length;
    const shown = this.all.length < this.total ? this.all.length + " of " + this.total : String(this.total);
    el("fix-count").textContent = this.total ? shown + ", " + decided + " decided" : "";
    el("no-fixes").hidden = this.all.length > 0;
    el("no-fixes").textContent = this.moving ? "No single defects on record yet." : "No step of this recipe has found single defects.";
    for (const id of ["fix-list", "order", "rerender"]) el(id).hidden = !this.all.length;
    const fix = this.now;
    el("fix").hidden = !fix;
    if (fix) {
      el("fix-name").textContent = fix.id;
      el("fix-standing").textContent = STANDING[fix.standing];
      el("fix-standing").className = "pill " + fix.standing;
      el("fix-verdict").hidden = !fix.verdict;
      el("fix-verdict").textContent = fix.verdict;
      el("fix-verdict").className = "pill " + fix.verdict;
      el("accept").setAttribute("aria-pressed", String(fix.verdict === "accepted"));
      el("reject").setAttribute("aria-pressed", String(fix.verdict === "rejected"));
      el("fix-facts").replaceChildren(...fix.facts.flatMap(([name, value]) => {
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
        dt.textContent = name;
        dd.textContent = value;
        return [dt, dd];
      }));
    }
    this.onPending(this.pending);
  }

  // Crops of the fix, once they are there and still wanted.
  async close() {
    const fix = this.now;
    const told = await read(jobPath(this.job) + "/fixes/" + encodeURIComponent(fix.id));
    if (this.now !== fix) return;
    el("crops").replaceChildren(...told.panels.map((panel) => {
      const [figure, image, caption] = ["figure", "img", "figcaption"].map((tag) => document.createElement(tag));
      image.src = panel.picture;
      image.alt = fix.id + ", " + panel.name;
      caption.textContent = panel.name;
      figure.append(image, caption);
      return figure;
    }));
    const note = document.createElement("p");
    note.className = "note";
    const shortened = told.width < fix.box[2] - fix.box[0] || told.height < fix.box[3] - fix.box[1];
    const stretch = told.note.split(", ").slice(1).join(", ");
    note.textContent = [told.width + " x " + told.height + " px" + (shortened ? " of it" : ""), stretch, ...told.trouble].filter(Boolean).join("; ");
    el("crops").append(note);
  }
}
