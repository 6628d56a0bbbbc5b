"use strict";
(() => {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const press = (buttons, chosen) =>
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));

  for (const stage of all(".stage")) {
    const slider = stage.querySelector("input");
    const follow = () => {
      stage.style.setProperty("--cut", slider.value + "%");
      slider.setAttribute("aria-valuetext", Math.round(slider.value) + " % shows the source");
    };
    slider.addEventListener("input", follow);
    // The picture follows the pointer itself, not the thumb's idea of where it is.
    const drag = (event) => {
      if (event.buttons !== 1) return;
      const box = stage.getBoundingClientRect();
      slider.value = (100 * (event.clientX - box.left)) / box.width;
      follow();
    };
    slider.addEventListener("pointermove", drag);
    slider.addEventListener("pointerdown", drag);
    follow();
  }

  const frames = all("[data-frame]");
  for (const button of frames) {
    button.addEventListener("click", () => {
      press(frames, button);
      all(".shot").forEach((s) => s.classList.toggle("on", s.id === button.dataset.frame));
    });
  }
  const views = all("[data-view]");
  for (const button of views) {
    button.addEventListener("click", () => {
      press(views, button);
      const difference = button.dataset.view === "difference";
      all(".stage").forEach((s) => s.classList.toggle("show-difference", difference));
    });
  }
})();
