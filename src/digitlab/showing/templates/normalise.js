// One drawn digit to MNIST's own geometry, in the steps of digitlab.reading.normalise; a test compares the two.
const Normalise = (() => {
  const FINE = 4, BOX = 20, SIDE = 28, MIDDLE = FINE * 14 + (FINE - 1) / 2, THIN = 1.8, THICK = 3.4;
  // Below this share of full ink a piece of writing ends.
  const CUT = 0.36, LEAST_SIDE = 160;
  const grid = (height, width, data = new Float32Array(height * width)) => ({ height, width, data });
  const even = (v) => { const near = Math.round(v); return near - v === 0.5 && near % 2 ? near - 1 : near; }; // as Python rounds
  const map = (g, f) => grid(g.height, g.width, g.data.map(f));

  const box = { reach: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
  const bilinear = { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };
  const bicubic = { reach: 2, weight: (x) => {
    const a = -0.5, t = Math.abs(x);
    return t < 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
  } };

  // Pillow's resize: each new pixel is a weighted mean of those around its place, wider where the image shrinks.
  function resized(g, width, height, { reach, weight }) {
    const lanes = (from, to) => Array.from({ length: to }, (_, n) => {
      const step = from / to, wide = Math.max(1, step), middle = (n + 0.5) * step;
      const first = Math.max(0, Math.trunc(middle - reach * wide + 0.5)), end = Math.min(from, Math.trunc(middle + reach * wide + 0.5));
      const weights = Array.from({ length: end - first }, (_, i) => weight((i + first - middle + 0.5) / wide)), sum = weights.reduce((a, b) => a + b, 0);
      return [first, weights.map((w) => w / sum)];
    });
    const across = grid(g.height, width), out = grid(height, width);
    lanes(g.width, width).forEach(([first, weights], x) => {
      for (let y = 0; y < g.height; y++) across.data[y * width + x] = weights.reduce((sum, w, i) => sum + w * g.data[y * g.width + first + i], 0);
    });
    lanes(g.height, height).forEach(([first, weights], y) => {
      for (let x = 0; x < width; x++) out.data[y * width + x] = weights.reduce((sum, w, i) => sum + w * across.data[(first + i) * width + x], 0);
    });
    return out;
  }

  // First and last row and column with a value that counts; null where there is none.
  function extent(g, counts) {
    let top = Infinity, left = Infinity, bottom = -1, right = -1;
    for (let y = 0, n = 0; y < g.height; y++) for (let x = 0; x < g.width; x++) if (counts(g.data[n++])) {
      top = Math.min(top, y); bottom = y; left = Math.min(left, x); right = Math.max(right, x);
    }
    return bottom < 0 ? null : { top, left, bottom: bottom + 1, right: right + 1 };
  }
  function cut(g, { top, left, bottom, right }, border = 0) {
    const out = grid(bottom - top + 2 * border, right - left + 2 * border);
    for (let y = top; y < bottom; y++) out.data.set(g.data.subarray(y * g.width + left, y * g.width + right), (y - top + border) * out.width + border);
    return out;
  }

  // Squared distance of each pixel to the nearest one that is set: Felzenszwalb and Huttenlocher, exact.
  function toNearest(g, set) {
    const far = 1e9, out = new Float64Array(g.data.length);
    for (let n = 0; n < out.length; n++) out[n] = set(g.data[n]) ? 0 : far;
    const pass = (count, start, step) => {
      const f = Float64Array.from({ length: count }, (_, i) => out[start + i * step]), v = [0], z = [-Infinity, Infinity];
      for (let q = 1; q < count; q++) {
        let s;
        for (;;) {
          const p = v[v.length - 1];
          s = (f[q] + q * q - f[p] - p * p) / (2 * (q - p));
          if (s > z[v.length - 1]) break;
          v.pop();
        }
        z[v.length] = s; v.push(q); z[v.length] = Infinity;
      }
      for (let q = 0, k = 0; q < count; q++) {
        while (z[k + 1] < q) k++;
        out[start + q * step] = (q - v[k]) ** 2 + f[v[k]];
      }
    };
    for (let x = 0; x < g.width; x++) pass(g.height, x, g.width);
    for (let y = 0; y < g.height; y++) pass(g.width, y * g.width, 1);
    return out;
  }

  // Pieces of ink that hang together, also over corners.
  function pieces(ink) {
    const labels = new Int32Array(ink.data.length), found = [];
    for (let n = 0; n < labels.length; n++) {
      if (labels[n] || ink.data[n] < CUT) continue;
      const stack = [n], piece = { top: Infinity, left: Infinity, bottom: 0, right: 0, area: 0 };
      labels[n] = found.push(piece);
      while (stack.length) {
        const at = stack.pop(), y = Math.floor(at / ink.width), x = at % ink.width;
        piece.top = Math.min(piece.top, y); piece.left = Math.min(piece.left, x); piece.area++;
        piece.bottom = Math.max(piece.bottom, y + 1); piece.right = Math.max(piece.right, x + 1);
        for (let j = Math.max(0, y - 1); j < Math.min(ink.height, y + 2); j++) for (let i = Math.max(0, x - 1); i < Math.min(ink.width, x + 2); i++) {
          const next = j * ink.width + i;
          if (!labels[next] && ink.data[next] >= CUT) { labels[next] = found.length; stack.push(next); }
        }
      }
    }
    for (const piece of found) { piece.height = piece.bottom - piece.top; piece.width = piece.right - piece.left; }
    return { labels, found };
  }

  // Half of all height lies in pieces at least this tall.
  function usualHeight(found) {
    const heights = found.map((piece) => piece.height).sort((a, b) => a - b), half = heights.reduce((a, b) => a + b, 0) / 2;
    let sum = 0;
    return heights.find((height) => (sum += height) >= half) ?? 0;
  }

  // The writing without specks, cut to what is left of it.
  function writing(ink) {
    const { labels, found } = pieces(ink), tallest = Math.max(0, ...found.map((piece) => piece.height));
    let kept = found.filter((piece) => piece.area >= 4);
    let tall = usualHeight(kept.filter((piece) => Math.max(piece.height, piece.width) > 0.08 * tallest));
    for (let turn = 0; turn < 2; turn++) {
      kept = kept.filter((p) => Math.max(p.height, p.width) >= 0.14 * tall && !(p.width > 1.6 * tall && p.height < 0.3 * tall));
      tall = usualHeight(kept.filter((piece) => piece.height > 0.3 * tall)) || tall;
    }
    if (!kept.length) return null;
    const mine = new Set(kept), around = grid(ink.height, ink.width);
    for (let n = 0; n < labels.length; n++) around.data[n] = labels[n] && mine.has(found[labels[n] - 1]) ? 1 : 0;
    // The soft edge just outside belongs to the writing as well.
    const near = toNearest(around, (v) => v > 0);
    return grid(ink.height, ink.width, ink.data.map((v, n) => (near[n] <= 4 ? v : 0)));
  }

  function signedDistance(g) {
    if (!g.data.some((v) => v >= 0.5)) return null;
    const padded = cut(g, { top: 0, left: 0, bottom: g.height, right: g.width }, 14);
    const inside = toNearest(padded, (v) => v < 0.5), outside = toNearest(padded, (v) => v >= 0.5);
    return map(padded, (_, n) => (inside[n] > 0 ? Math.sqrt(inside[n]) - 0.5 : 0.5 - Math.sqrt(outside[n])));
  }

  // Twice the typical distance from the stroke's middle to its edge.
  function penWidth(g) {
    const ridge = [];
    for (let y = 0, n = 0; y < g.height; y++) for (let x = 0; x < g.width; x++, n++) {
      if (g.data[n] <= 0.4) continue;
      let top = -Infinity;
      for (let j = Math.max(0, y - 1); j < Math.min(g.height, y + 2); j++) for (let i = Math.max(0, x - 1); i < Math.min(g.width, x + 2); i++) top = Math.max(top, g.data[j * g.width + i]);
      if (g.data[n] >= top - 1e-3) ridge.push(g.data[n]);
    }
    ridge.sort((a, b) => a - b);
    return ridge.length ? ridge[(ridge.length - 1) >> 1] + ridge[ridge.length >> 1] : 1;
  }

  const inShape = (g) => { const found = extent(g, (v) => v > 0); return found && cut(g, found); };

  function outline(ink) {
    const found = extent(ink, (v) => v >= 0.5);
    if (!found) return null;
    const shape = cut(ink, found, 1), factor = (FINE * BOX) / (Math.max(shape.height, shape.width) - 2);
    const large = resized(shape, Math.max(1, even(shape.width * factor)), Math.max(1, even(shape.height * factor)), factor > 1 ? bicubic : box);
    const distance = signedDistance(large);
    return distance && inShape(distance);
  }

  function glyphOf(ink) {
    let distance = outline(ink);
    if (!distance) return null;
    const width = penWidth(distance), change = Math.min(FINE * THICK, Math.max(FINE * THIN, width)) - width;
    if (change) {
      const changed = inShape(map(distance, (v) => v + change / 2));
      if (!changed) return null;
      const factor = (FINE * BOX) / Math.max(changed.height, changed.width);
      distance = map(resized(changed, Math.max(1, even(changed.width * factor)), Math.max(1, even(changed.height * factor)), bilinear), (v) => v * factor);
    }
    let mass = 0, row = 0, column = 0;
    for (let y = 0, n = 0; y < distance.height; y++) for (let x = 0; x < distance.width; x++) {
      const v = Math.min(1, Math.max(0, distance.data[n++] + 0.5));
      mass += v; row += v * y; column += v * x;
    }
    const place = (middle, side) => Math.min(FINE * SIDE - side, Math.max(0, even(MIDDLE - middle)));
    const top = place(row / mass, distance.height), left = place(column / mass, distance.width), glyph = new Float64Array(SIDE * SIDE);
    for (let y = 0, n = 0; y < distance.height; y++) for (let x = 0; x < distance.width; x++) {
      glyph[((top + y) >> 2) * SIDE + ((left + x) >> 2)] += Math.min(1, Math.max(0, distance.data[n++] + 0.5)) / (FINE * FINE);
    }
    return Uint8Array.from(glyph, (v) => even(255 * v));
  }

  // 784 values of 0 to 255 from a canvas with black strokes on white; null where nothing is drawn.
  function drawing(canvas) {
    const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    let page = grid(height, width, Float32Array.from({ length: width * height }, (_, n) => data[4 * n]));
    const times = Math.ceil(LEAST_SIDE / Math.max(width, height));
    if (times > 1) page = map(resized(page, width * times, height * times, bicubic), (v) => Math.min(255, Math.max(0, Math.round(v))));
    const ink = writing(map(page, (v) => (255 - v) / 255));
    return ink && glyphOf(ink);
  }
  return { drawing };
})();
