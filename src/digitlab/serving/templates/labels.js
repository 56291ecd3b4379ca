
// The label of a box is a tag that hangs together with its frame, above it where nothing else is, else in its corner: a
// bare digit between two rows could be either's.
const Labels = (() => {
  const SIZES = [18, 15, 12]; // pixels; smaller cannot be read
  const apart = (a, b) => a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];

  // [left, top, right, bottom] of the frame in pixels; `taken`: what may not be covered, the frame itself at `own`.
  // Returns { size, x, y } of the text and `room`, the tag's rectangle.
  function beside([left, top, right, bottom], letters, taken, own) {
    const tag = (size, above) => {
      const across = 0.64 * size * letters + 0.36 * size, down = 1.05 * size, y = above ? top - down : top;
      return { size, room: [left, y, left + across, y + down], x: left + 0.18 * size, y: y + 0.91 * size };
    };
    for (const size of SIZES) {
      if (size > Math.max(12, 0.35 * (bottom - top))) continue;
      const label = tag(size, true), [l, t, r, b] = label.room;
      if (t >= 0 && taken.every((other, i) => i === own || apart([l - 1, t - 2, r + 1, b - 1], other))) return label;
    }
    return tag(12, false);
  }

  return { beside };
})();
