
// A photo on the sheet, closer: buttons, Ctrl and wheel, a double click, two fingers; pulled about where it is larger.
const Zoom = (() => {
  const sheet = document.getElementById("sheet"), photo = document.getElementById("photo"), MOST = 12;
  let scale = 1, x = 0, y = 0, changed = () => {};
  const fingers = new Map();

  function apply() {
    const w = photo.offsetWidth, h = photo.offsetHeight;
    // An edge of the photo never comes further in than it would lie at rest.
    const limit = (at, size, room) => { const most = Math.max(0, (size * scale - room) / 2); return Math.max(-most, Math.min(most, at)); };
    x = limit(x, w, sheet.clientWidth);
    y = limit(y, h, sheet.clientHeight);
    photo.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    photo.classList.toggle("near", scale > 1);
    document.getElementById("out").disabled = document.getElementById("fit").disabled = scale === 1;
    changed();
  }

  // Keeps the point under the pointer where it is.
  function by(factor, clientX, clientY) {
    const box = sheet.getBoundingClientRect(), px = (clientX ?? box.left + box.width / 2) - box.left - box.width / 2, py = (clientY ?? box.top + box.height / 2) - box.top - box.height / 2;
    const next = Math.max(1, Math.min(MOST, scale * factor)), ratio = next / scale;
    x = px - ratio * (px - x);
    y = py - ratio * (py - y);
    scale = next;
    apply();
  }

  const fit = () => { scale = 1; x = y = 0; apply(); };

  // Brings a box, in pixels of the screen, to the middle, where the photo is larger than the sheet.
  function reveal(box) {
    if (scale === 1) return;
    const outer = sheet.getBoundingClientRect();
    x += outer.left + outer.width / 2 - (box.left + box.right) / 2;
    y += outer.top + outer.height / 2 - (box.top + box.bottom) / 2;
    apply();
  }

  sheet.addEventListener("wheel", (event) => {
    if (photo.hidden || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    by(Math.exp(-event.deltaY / 250), event.clientX, event.clientY);
  }, { passive: false });
  photo.addEventListener("dblclick", (event) => by(2, event.clientX, event.clientY));
  photo.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    if (scale > 1 || fingers.size === 2) { photo.setPointerCapture(event.pointerId); event.preventDefault(); }
  });
  photo.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) {
      const [other] = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      if (apart(last) > 10) by(apart(event) / apart(last), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else if (scale > 1) {
      x += event.clientX - last.clientX;
      y += event.clientY - last.clientY;
      apply();
    }
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) photo.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  document.getElementById("in").addEventListener("click", () => by(1.6));
  document.getElementById("out").addEventListener("click", () => by(1 / 1.6));
  document.getElementById("fit").addEventListener("click", fit);

  return { by, fit, reveal, get scale() { return scale; }, set changed(call) { changed = call; } };
})();
