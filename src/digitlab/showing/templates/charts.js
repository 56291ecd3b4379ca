"use strict";
// What a pointer or the arrow keys find on a chart.
(() => {
  for (const svg of document.querySelectorAll("svg[data-tips]")) {
    const tips = JSON.parse(svg.dataset.tips), hair = svg.querySelector(".hair");
    if (!tips.length) continue;
    const note = Object.assign(document.createElement("div"), { className: "tip" });
    note.hidden = true;
    note.setAttribute("role", "status");
    svg.parentNode.append(note);
    let current = -1;
    const show = (number) => {
      current = Math.min(tips.length - 1, Math.max(0, number));
      const tip = tips[current], scale = svg.clientWidth / svg.viewBox.baseVal.width;
      const head = document.createElement("b");
      head.textContent = tip.head;
      note.replaceChildren(head);
      for (const row of tip.rows) {
        const line = document.createElement("span");
        for (const text of row.slice(0, 2)) line.append(Object.assign(document.createElement("span"), { textContent: text }));
        note.append(line);
      }
      note.hidden = false;
      hair.setAttribute("x1", tip.x);
      hair.setAttribute("x2", tip.x);
      hair.style.opacity = 1;
      const room = svg.clientWidth - note.offsetWidth;
      const beside = tip.x * scale + 12 + note.offsetWidth > svg.clientWidth ? tip.x * scale - note.offsetWidth - 12 : tip.x * scale + 12;
      note.style.left = Math.max(0, Math.min(room, beside)) + "px";
    };
    const hide = () => {
      note.hidden = true;
      hair.style.opacity = 0;
      current = -1;
    };
    svg.addEventListener("pointermove", (event) => {
      const x = (event.offsetX * svg.viewBox.baseVal.width) / svg.clientWidth;
      let best = 0;
      tips.forEach((tip, i) => { if (Math.abs(tip.x - x) < Math.abs(tips[best].x - x)) best = i; });
      show(best);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
        show(current < 0 ? 0 : current + (event.key === "ArrowRight" ? 1 : -1));
        event.preventDefault();
      } else if (event.key === "Escape") hide();
    });
  }
})();

// A table wider than the screen says so, until its end is seen.
(() => {
  for (const box of document.querySelectorAll(".scroll, .big-chart")) {
    const hint = Object.assign(document.createElement("p"), { className: "sideways", textContent: "Wider than the screen: swipe sideways for more →" });
    box.before(hint);
    const look = () => {
      const more = box.scrollWidth - box.clientWidth > 2;
      hint.hidden = !more;
      box.classList.toggle("more", more && box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
    };
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
    look();
  }
})();
