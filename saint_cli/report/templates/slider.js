  const sliders = [];

  const wire = (figure) => {
    const slider = figure.querySelector("input[type=range]");
    const frame = figure.querySelector(".frame");
    const left = figure.querySelector(".tag.left").textContent;
    const show = () => {
      frame.style.setProperty("--slider", slider.value + "%");
      slider.setAttribute("aria-valuetext", slider.value + " % of the width shows " + left);
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
  document.querySelectorAll("[data-slider]").forEach(wire);
