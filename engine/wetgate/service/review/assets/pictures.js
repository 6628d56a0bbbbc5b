// Pictures of frames: fetched once, a few kept, the next ones fetched ahead.

import { jobPath, picture } from "./api.js";

const KEPT = 48;

export class Pictures {
  constructor(job) {
    this.job = job;
    this.held = new Map();
  }

  forget() {
    this.held.clear();
  }

  // Return a promise of { bitmap, facts }; `digest` tells one render of a frame from the next.
  get(kind, number, { width, gain, digest }) {
    const asked = new URLSearchParams({ kind, width });
    if (kind === "difference") asked.set("gain", gain);
    const path = jobPath(this.job) + "/frames/" + number + "/view?" + asked;
    const key = path + " " + (kind === "source" ? "" : digest);
    let found = this.held.get(key);
    if (found) this.held.delete(key);
    else {
      found = picture(path);
      found.catch(() => this.held.delete(key));
    }
    this.held.set(key, found);
    while (this.held.size > KEPT) this.held.delete(this.held.keys().next().value);
    return found;
  }
}
