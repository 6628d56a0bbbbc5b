// The list of jobs, and what is said of one on top of the page.

import { change, jobPath, read } from "./api.js";

const MOVING = ["queued", "running", "cancelling"];
const el = (id) => document.getElementById(id);

export const isMoving = (job) => MOVING.includes(job.state);

const seconds = (s) => s < 90 ? Math.round(s) + " s" : Math.round(s / 60) + " min";

export const work = (job) => {
  if (job.state === "queued") return "waits for its turn";
  if (!isMoving(job)) return job.error || "";
  const left = typeof job.eta === "number" ? ", " + seconds(job.eta) + " left" : "";
  return (job.stage || "at work") + (job.total ? ", " + job.done + " of " + job.total : "") + left;
};

export const name = (job) => job.label || (job.directory || "").split(/[\\/]/).pop() || job.id;

const cell = (row, text, kind) => {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

const fill = (job) => {
  const row = document.createElement("tr");
  const link = document.createElement("a");
  link.href = "/review?job=" + encodeURIComponent(job.id);
  link.textContent = name(job);
  row.insertCell().append(link);
  const pill = document.createElement("span");
  pill.className = "pill " + job.state;
  pill.textContent = job.state;
  row.insertCell().append(pill);
  const moving = row.insertCell();
  if (isMoving(job)) {
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = job.fraction || 0;
    bar.setAttribute("aria-label", "Progress of " + name(job));
    moving.append(bar, " ");
  }
  const said = document.createElement("span");
  said.className = "dim";
  said.textContent = work(job);
  moving.append(said);
  cell(row, job.total ? job.done + " / " + job.total : "", "n");
  cell(row, job.directory || "", "dim");
  const last = row.insertCell();
  if (isMoving(job) && job.state !== "cancelling") {
    const stop = document.createElement("button");
    stop.type = "button";
    stop.className = "plain";
    stop.textContent = "Cancel";
    stop.setAttribute("aria-label", "Cancel " + name(job));
    stop.addEventListener("click", () => change(jobPath(job.id) + "/cancel").catch((e) => window.dispatchEvent(new CustomEvent("trouble", { detail: e.message }))));
    last.append(stop);
  }
  return row;
};

let shown = "";

export const showJobs = async () => {
  const { jobs } = await read("/jobs");
  const text = JSON.stringify(jobs);
  el("no-jobs").hidden = jobs.length > 0;
  if (text === shown) return jobs;  // nothing moved: the focus stays where it is
  const held = document.activeElement && document.activeElement.getAttribute("href");
  shown = text;
  el("job-rows").replaceChildren(...jobs.slice().sort((a, b) => b.created - a.created).map(fill));
  const again = held && Array.from(el("job-rows").querySelectorAll("a")).find((a) => a.getAttribute("href") === held);
  if (again) again.focus();
  return jobs;
};

export const showTop = (job) => {
  el("title").textContent = name(job);
  el("title").title = job.directory || "";
  document.title = name(job) + " - wetgate review";
  el("state").hidden = false;
  el("state").className = "pill " + job.state;
  el("state").textContent = job.state;
  el("progress").hidden = !isMoving(job);
  el("progress").value = job.fraction || 0;
  el("work").textContent = work(job);
};
