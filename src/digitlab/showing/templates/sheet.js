// The sheet: strokes by pointer, undo and redo, and the picture of them that is sent to be read.
const Sheet = (() => {
  const canvas = document.getElementById("ink"), context = canvas.getContext("2d");
  const MOST_PIXELS = 200000; // so many are read in well under a tenth of a second, and a digit keeps pixels enough
  let strokes = [], past = [], future = [], current = null, width = 0, height = 0, pen = 10, penSeen = false, eraser = false;
  let changed = () => {}, began = () => {};

  // A point between the last one and the next smooths the hand's tremor and the mouse's steps.
  const SMOOTH = 0.7;

  function path(target, stroke) {
    const { points } = stroke;
    target.lineWidth = stroke.pen;
    target.beginPath();
    target.moveTo(points[0][0], points[0][1]);
    if (points.length === 1) target.lineTo(points[0][0] + 0.01, points[0][1]);
    for (let i = 1; i < points.length - 1; i++) {
      const [x, y] = points[i], [nx, ny] = points[i + 1];
      target.quadraticCurveTo(x, y, (x + nx) / 2, (y + ny) / 2);
    }
    if (points.length > 1) target.lineTo(...points[points.length - 1]);
    target.stroke();
  }

  function prepare(target, colour) {
    target.lineCap = target.lineJoin = "round";
    target.strokeStyle = colour;
  }

  function redraw() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    prepare(context, printing ? "#000" : getComputedStyle(canvas).getPropertyValue("--ink").trim());
    for (const stroke of strokes) path(context, stroke);
    if (current) path(context, current);
  }

  new ResizeObserver(() => {
    const box = canvas.getBoundingClientRect();
    if (printing || !box.width || (box.width === width && box.height === height)) return;
    if (width && strokes.length) { // what was written stays within reach on a turned phone
      const factor = Math.min(1, box.width / width, box.height / height);
      if (factor < 1) {
        for (const stroke of strokes) {
          stroke.points = stroke.points.map(([x, y]) => [x * factor, y * factor]);
          stroke.pen *= factor;
        }
        changed();
      }
    }
    width = box.width;
    height = box.height;
    redraw();
  }).observe(canvas);
  // On paper: dark ink, and as large as on the screen or as wide as the page, so that frames stay on their digits.
  let printing = false;
  addEventListener("beforeprint", () => {
    if (canvas.hidden || !width) return;
    printing = true;
    Object.assign(canvas.parentElement.style, { width: `${width}px`, height: `${height}px`, zoom: Math.min(1, 640 / width) });
    redraw();
  });
  addEventListener("afterprint", () => {
    printing = false;
    Object.assign(canvas.parentElement.style, { width: "", height: "", zoom: "" });
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function add(event, whole) {
    const { points } = current, last = points[points.length - 1], raw = place(event);
    const next = whole ? raw : [last[0] + SMOOTH * (raw[0] - last[0]), last[1] + SMOOTH * (raw[1] - last[1])];
    if (Math.hypot(next[0] - last[0], next[1] - last[1]) > (whole ? 0.2 : 1)) points.push(next);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (current || (event.pointerType === "mouse" && event.button !== 0)) return;
    if (event.pointerType === "pen") penSeen = true;
    if (penSeen && event.pointerType === "touch") return; // the hand that rests on the screen beside the pen
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    if (eraser || event.buttons === 32) { // 32: the other end of a pen
      rubbing = event.pointerId;
      rub(event);
      return;
    }
    current = { id: event.pointerId, pen, points: [place(event)] };
    began();
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (rubbing === event.pointerId) { rub(event); return; }
    if (!current || event.pointerId !== current.id) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const part of events.length ? events : [event]) add(part, false);
    redraw();
  });
  // Takes out whole strokes that the pointer touches; one pull of the eraser is one step to undo.
  let rubbing = null, before = null;
  function rub(event) {
    const [x, y] = place(event), near = (stroke) => stroke.points.some(([px, py], i) => {
      const [qx, qy] = stroke.points[Math.min(i + 1, stroke.points.length - 1)], dx = qx - px, dy = qy - py;
      const along = Math.max(0, Math.min(1, ((x - px) * dx + (y - py) * dy) / (dx * dx + dy * dy || 1)));
      return Math.hypot(x - px - along * dx, y - py - along * dy) < stroke.pen / 2 + 6;
    });
    const left = strokes.filter((stroke) => !near(stroke));
    if (left.length === strokes.length) return;
    before ??= strokes;
    strokes = left;
    redraw();
  }

  function end(event) {
    if (rubbing === event.pointerId) {
      const [was, now] = [before, strokes];
      rubbing = before = null;
      if (was) { strokes = was; become(now); }
      return;
    }
    if (!current || event.pointerId !== current.id) return;
    if (event.type === "pointerup") add(event, true);
    const stroke = { pen: current.pen, points: current.points };
    current = null;
    become([...strokes, stroke]);
  }
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);

  function become(next) {
    past.push(strokes);
    future = [];
    strokes = next;
    redraw();
    changed();
  }

  function step(from, to) {
    if (!from.length || current) return;
    to.push(strokes);
    strokes = from.pop();
    redraw();
    changed();
  }

  // The ink with some paper around it; `place` turns a box in that picture back into one on the sheet.
  function picture() {
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (const stroke of strokes) {
      for (const [x, y] of stroke.points) {
        left = Math.min(left, x - stroke.pen / 2); right = Math.max(right, x + stroke.pen / 2);
        top = Math.min(top, y - stroke.pen / 2); bottom = Math.max(bottom, y + stroke.pen / 2);
      }
    }
    const margin = Math.max(24, 0.25 * Math.max(right - left, bottom - top) ** 0.9);
    left = Math.floor(left - margin); top = Math.floor(top - margin);
    const across = right + margin - left, down = bottom + margin - top;
    const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (across * down)));
    const paper = document.createElement("canvas");
    paper.width = Math.ceil(across * scale);
    paper.height = Math.ceil(down * scale);
    const ink = paper.getContext("2d", { alpha: false });
    ink.fillStyle = "#fff";
    ink.fillRect(0, 0, paper.width, paper.height);
    ink.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    prepare(ink, "#000");
    for (const stroke of strokes) path(ink, stroke);
    return { canvas: paper, place: ([l, t, r, b]) => [l / scale + left, t / scale + top, r / scale + left, b / scale + top] };
  }

  // Strokes in a box of 1 x 1, a corner given twice to stay sharp.
  const SHAPES = {
    1: [[[0.42, 0.1], [0.6, 0], [0.6, 0], [0.5, 1]]],
    2: [[[0.1, 0.26], [0.22, 0.06], [0.55, -0.04], [0.86, 0.12], [0.74, 0.46], [0.4, 0.74], [0.06, 0.97], [0.06, 0.97], [0.4, 0.94], [0.94, 0.98]]],
    3: [[[0.14, 0.12], [0.4, -0.04], [0.82, 0.04], [0.78, 0.36], [0.4, 0.47], [0.4, 0.47], [0.86, 0.52], [0.9, 0.86], [0.5, 1.04], [0.1, 0.9]]],
    4: [[[0.44, 0], [0.24, 0.38], [0.06, 0.66], [0.06, 0.66], [0.5, 0.63], [0.95, 0.62]], [[0.7, 0.3], [0.66, 0.66], [0.62, 1.05]]],
    7: [[[0.08, 0.05], [0.5, 0.03], [0.92, 0.04], [0.92, 0.04], [0.62, 0.48], [0.42, 1.02]]],
  };
  function example(lines) {
    const tall = Math.min(120, height / (1.7 * lines.length)), wide = 0.58 * tall, apart = 1.65 * wide, drawn = [];
    lines.forEach((line, row) => [...line].forEach((digit, column) => {
      const x = width / 2 + (column - (line.length - 1) / 2) * apart - wide / 2;
      const y = height / 2 + (row - (lines.length - 1) / 2) * 1.6 * tall - tall / 2;
      for (const points of SHAPES[digit]) drawn.push({ pen, points: points.map(([a, b]) => [x + wide * a, y + tall * b]) });
    }));
    become(drawn);
  }

  return {
    canvas,
    picture,
    example,
    undo: () => step(past, future),
    redo: () => step(future, past),
    clear: () => { if (strokes.length) become([]); },
    get eraser() { return eraser; },
    set eraser(on) { eraser = on; },
    set pen(value) { pen = value; },
    set changed(call) { changed = call; },
    set began(call) { began = call; },
    get empty() { return !strokes.length; },
    get past() { return past.length; },
    get future() { return future.length; },
    get size() { return [width, height]; },
  };
})();
