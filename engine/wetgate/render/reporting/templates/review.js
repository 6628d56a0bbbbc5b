"use strict";
(() => {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const main = document.querySelector("main");
  const cards = all(".card");
  const filters = { state: "", verdict: "", kind: "", frame: "" };
  const key = "wetgate-review:" + main.dataset.key;
  let now = -1;

  // A file opened from a disk may have no storage; the page works without.
  const remember = () => {
    try {
      const held = cards.filter((c) => c.dataset.verdict).map((c) => [c.dataset.id, c.dataset.verdict]);
      localStorage.setItem(key, JSON.stringify(held));
    } catch (_) { /* nothing is kept between visits */ }
  };
  const recall = () => {
    try {
      const held = JSON.parse(localStorage.getItem(key));
      if (!Array.isArray(held)) return;
      const found = new Map(held);
      for (const card of cards) card.dataset.verdict = found.get(card.dataset.id) || "";
    } catch (_) { /* the page's own verdicts stand */ }
  };

  const named = (verdict) =>
    cards.filter((c) => c.dataset.verdict === verdict).map((c) => c.dataset.id)
      .concat(all("[data-other]").filter((o) => o.dataset.verdict === verdict).map((o) => o.dataset.other))
      .sort();
  const confidences = () => Object.fromEntries(
    cards.filter((c) => c.dataset.verdict && c.dataset.confidence).map((c) => [c.dataset.id, Number(c.dataset.confidence)]).sort());
  const decisions = () => JSON.stringify(
    { accepted: named("accepted"), confidences: confidences(), rejected: named("rejected"), schema: main.dataset.schema }, null, 1) + "\n";

  const shown = () => cards.filter((c) => !c.hidden);
  const mark = () => cards.forEach((c, at) => c.classList.toggle("now", at === now));
  const tell = () => {
    for (const card of cards) {
      const verdict = card.dataset.verdict;
      card.classList.toggle("accepted", verdict === "accepted");
      card.classList.toggle("rejected", verdict === "rejected");
      all("[data-verdict]", card).forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.verdict === verdict)));
    }
    const decided = cards.filter((c) => c.dataset.verdict).length;
    document.getElementById("count").textContent =
      decided + " of " + cards.length + " decided" + (shown().length < cards.length ? ", " + shown().length + " shown" : "");
    document.getElementById("text").value = decisions();
  };
  const filter = () => {
    for (const card of cards) {
      const verdict = card.dataset.verdict || "undecided";
      card.hidden = !((!filters.state || card.dataset.state === filters.state)
        && (!filters.verdict || verdict === filters.verdict)
        && (!filters.kind || card.dataset.kind === filters.kind)
        && (!filters.frame || card.dataset.frame === filters.frame));
    }
    document.getElementById("empty").hidden = shown().length > 0;
    tell();
  };
  const go = (card) => {
    if (!card) return;
    now = cards.indexOf(card);
    mark();
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "center" });
  };
  const step = (by) => {
    const list = shown();
    const at = list.indexOf(cards[now]);
    go(list[Math.max(0, Math.min(list.length - 1, at < 0 ? 0 : at + by))]);
  };
  const judge = (card, verdict) => {
    card.dataset.verdict = card.dataset.verdict === verdict ? "" : verdict;
    remember();
    tell();
  };

  for (const group of all(".group[data-filter]")) {
    const buttons = all("button", group);
    for (const button of buttons) {
      button.addEventListener("click", () => {
        buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
        filters[group.dataset.filter] = button.dataset.value;
        filter();
      });
    }
  }
  for (const select of all("select[data-filter]")) {
    select.addEventListener("change", () => {
      filters[select.dataset.filter] = select.value;
      filter();
    });
  }
  cards.forEach((card, at) => {
    card.addEventListener("click", () => { now = at; mark(); });
    for (const button of all(".verdict button", card)) {
      button.addEventListener("click", () => judge(card, button.dataset.verdict));
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["SELECT", "TEXTAREA", "INPUT"].includes(event.target.tagName)) return;
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const verdict = { a: "accepted", r: "rejected", u: "" }[event.key];
    if (by) step(by);
    else if (verdict !== undefined && now >= 0 && !cards[now].hidden) {
      const list = shown();
      const next = list[list.indexOf(cards[now]) + 1];
      cards[now].dataset.verdict = verdict;
      remember();
      tell();
      go(next);
    } else return;
    event.preventDefault();
  });
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([decisions()], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  recall();
  filter();
  if (cards.length) { now = 0; mark(); }
})();
