
// A small chart of what an epoch brought: training and validation, with a point that moves within the epoch.
const Curves = (() => {
  const W = 330, H = 190, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 24, SVG = "http://www.w3.org/2000/svg";
  const node = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Round steps, three to six of them.
  function ticks(low, high) {
    const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
    return found;
  }

  // fit, val: values of epoch 1, 2, …; live: [epochs, value] of the training within an epoch, or null
  function draw(svg, { fit, val, live, epochs, share, name }) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
    svg.setAttribute("role", "img");
    const values = [...fit, ...val, ...(live ? [live[1]] : [])].filter(Number.isFinite);
    const last = (list) => list.filter(Number.isFinite).at(-1), say = (v) => (share ? percent(v) : v?.toFixed(3));
    svg.setAttribute("aria-label", values.length ? `${name} after ${fit.length} of ${epochs} epochs: training ${say(last(fit)) ?? "none"}, validation ${say(last(val)) ?? "none"}` : `${name}: nothing yet`);
    let low = share ? Math.min(0.9, ...values) : 0, high = share ? 1 : Math.max(0.1, ...values.slice().sort((a, b) => a - b).slice(0, Math.max(2, values.length - 1)));
    if (share) low = Math.max(0, low - 0.05 * (1 - low));
    const x = (epoch) => LEFT + (W - LEFT - RIGHT) * Math.min(1, epoch / epochs), y = (value) => TOP + (H - TOP - BOTTOM) * (1 - Math.max(0, Math.min(1, (value - low) / (high - low))));
    for (const at of ticks(low, high)) {
      svg.append(node("line", { x1: LEFT, x2: W - RIGHT, y1: y(at), y2: y(at), stroke: "var(--rule)" }));
      svg.append(node("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end", class: "tick" }, share ? `${+(100 * at).toFixed(1)}\u00a0%` : +at.toFixed(3)));
    }
    const step = Math.max(1, Math.ceil(epochs / 6));
    for (let at = 0; at <= epochs; at += step) svg.append(node("text", { x: x(at), y: H - 6, "text-anchor": "middle", class: "tick" }, at));
    const path = (list) => list.map((value, i) => (Number.isFinite(value) ? `${i && Number.isFinite(list[i - 1]) ? "L" : "M"}${x(i + 1).toFixed(1)},${y(value).toFixed(1)}` : "")).join("");
    svg.append(node("path", { d: path(fit), class: "fit" }), node("path", { d: path(val), class: "val" }));
    val.forEach((value, i) => { if (Number.isFinite(value) && val.length < 40) svg.append(node("circle", { cx: x(i + 1), cy: y(value), r: 3, class: "val" })); });
    if (live && Number.isFinite(live[1])) svg.append(node("circle", { cx: x(live[0]), cy: y(live[1]), r: 4.5, class: "live" }));
  }

  return { draw };
})();
