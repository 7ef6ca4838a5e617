"use strict";
(() => {
  const sliders = [];

  const wire = (figure) => {
    const slider = figure.querySelector("input[type=range]");
    const frame = figure.querySelector(".frame");
    const show = () => {
      frame.style.setProperty("--wipe", slider.value + "%");
      slider.setAttribute("aria-valuetext", slider.value + " % of the width shows before");
    };
    const follow = (event) => {
      const box = frame.getBoundingClientRect();
      slider.value = Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
      show();
    };
    frame.addEventListener("pointerdown", (event) => {
      frame.setPointerCapture(event.pointerId);
      follow(event);
    });
    frame.addEventListener("pointermove", (event) => {
      if (event.buttons) follow(event);
    });
    slider.addEventListener("input", show);
    show();
    sliders.push({ slider, show });
  };
  document.querySelectorAll("[data-wipe]").forEach(wire);

  const windows = [...document.querySelectorAll("input[name=window]")];
  const choose = (index) => {
    windows[index].checked = true;
    document.documentElement.dataset.window = String(index);
  };
  windows.forEach((radio, index) => radio.addEventListener("change", () => choose(index)));
  choose(Math.max(0, windows.findIndex((radio) => radio.checked)));

  const flip = () => {
    const value = sliders.every(({ slider }) => slider.value === "100") ? 0 : 100;
    for (const { slider, show } of sliders) {
      slider.value = value;
      show();
    }
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const index = "123456789".indexOf(event.key);
    if (index >= 0 && index < windows.length) choose(index);
    else if (event.key.toLowerCase() === "b") flip();
  });
})();
