"use strict";
(() => {
{% include "slider.js" %}
  const windows = [...document.querySelectorAll("input[name=window]")];
  const choose = (index) => {
    windows[index].checked = true;
    document.documentElement.dataset.window = String(index);
  };
  windows.forEach((radio, index) => radio.addEventListener("change", () => choose(index)));
  choose(Math.max(0, windows.findIndex((radio) => radio.checked)));

  const labels = document.querySelector("input[name=labels]");
  const showLabels = () => {
    if (labels) document.documentElement.dataset.labels = labels.checked ? "on" : "off";
  };
  if (labels) labels.addEventListener("change", showLabels);
  showLabels();

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
    else if (labels && event.key.toLowerCase() === "l") {
      labels.checked = !labels.checked;
      showLabels();
    }
  });
})();
