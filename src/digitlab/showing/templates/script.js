"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = data.names, k = names.length;
  const doubtful = new Set(data.doubtful);
  const longNames = names.some((name) => [...name].length > 2);
  const byId = (id) => document.getElementById(id);
  const thousands = (n) => n.toLocaleString("en");
  document.documentElement.classList.add("script");

  // Text only ever goes in as text: a class name may look like markup.
  function make(tag, options = {}, ...children) {
    const node = document.createElement(tag);
    if (options.class) node.className = options.class;
    if (options.text !== undefined) node.textContent = options.text;
    if (options.title) node.title = options.title;
    node.append(...children);
    return node;
  }

  // Confidence (given in billionths) in per cent, never rounded up to certainty.
  function percent(sure) {
    if (sure > 999e6) return ">\u00a099.9\u00a0%";
    return sure >= 990e6 ? (Math.floor(sure / 1e6) / 10).toFixed(1) + "\u00a0%" : Math.round(sure / 1e7) + "\u00a0%";
  }

  function describe(i) {
    const doubt = doubtful.has(i) ? "; people doubt the official label" : "";
    return `Test image ${data.index[i]}: ${names[data.label[i]]} read as ${names[data.read[i]]}, ${percent(data.sure[i])} sure${doubt}`;
  }

  function picture(i, zoom) {
    const node = make("span", { class: "px z" + zoom, title: describe(i) });
    node.style.setProperty("--c", i % data.columns);
    node.style.setProperty("--r", Math.floor(i / data.columns));
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", describe(i));
    node.dataset.index = data.index[i];
    return node;
  }

  // [class, probability from 0 to 1] of picture i: all classes in their order, or the ten likeliest.
  function probabilities(i) {
    const row = data.probabilities[i];
    if (data.dense) return row.map((p, one) => [one, p / 10000]);
    return Array.from({ length: row.length / 2 }, (_, j) => [row[2 * j], row[2 * j + 1] / 10000]);
  }

  function bars(i) {
    const box = make("div", { class: longNames ? "list" : "probs" });
    for (const [one, p] of probabilities(i)) {
      const kind = one === data.label[i] ? "yes" : one === data.read[i] ? "no" : "";
      const bar = make("i");
      bar.style.setProperty("--v", p);
      const label = make(longNames ? "em" : "span", { text: names[one] });
      const part = make("span", { class: kind, title: `${names[one]}: ${(100 * p).toFixed(2)} %` });
      if (longNames) part.append(label, bar);
      else part.append(bar, document.createTextNode(names[one]));
      box.append(part);
    }
    box.setAttribute("role", "img");
    const spoken = probabilities(i).filter(([, p]) => p >= 0.005).sort((a, b) => b[1] - a[1]);
    box.setAttribute("aria-label", "Probabilities: " + spoken.map(([one, p]) => `${names[one]} ${Math.round(100 * p)} %`).join(", "));
    return box;
  }

  function card(i) {
    const wrong = data.label[i] !== data.read[i];
    const said = make("div", { class: "said" });
    if (wrong) said.append(make("b", { text: names[data.label[i]], title: names[data.label[i]] }), make("small", { text: "read as" }));
    else said.append(make("small", { text: "rightly read as" }));
    said.append(make("b", { class: wrong ? "no" : "", text: names[data.read[i]], title: names[data.read[i]] }));
    said.append(make("span", { class: "sure", text: percent(data.sure[i]) }));
    const foot = make("p", { class: "index" }, make("span", { text: "image " + data.index[i] }));
    if (doubtful.has(i)) foot.append(make("span", { class: "doubt", text: "† doubtful" }));
    return make("div", { class: "card" }, make("div", { class: "face" }, picture(i, 3), said), bars(i), foot);
  }

  // ---- confusion matrix
  const spoken = byId("spoken");
  const matrix = byId("matrix"), readout = byId("readout"), panel = byId("panel");
  const cells = [...matrix.querySelectorAll("td")];
  const support = data.confusion.map((row) => row.reduce((sum, n) => sum + n, 0));
  const at = (t, p) => cells[t * k + p];
  const place = (cell) => [Number(cell.dataset.t), Number(cell.dataset.p)];

  function say(cell) {
    const [t, p] = place(cell), count = data.confusion[t][p];
    const share = support[t] ? ` (${((100 * count) / support[t]).toFixed(1)} %)` : "";
    readout.textContent = `${names[t]} read as ${names[p]}: ${thousands(count)} of ${thousands(support[t])}${share}`;
  }

  function choose(cell) {
    for (const other of matrix.querySelectorAll("[aria-selected]")) other.removeAttribute("aria-selected");
    cell.setAttribute("aria-selected", "true");
    const [t, p] = place(cell), count = data.confusion[t][p], hit = t === p;
    const found = [];
    for (let i = 0; i < data.index.length; i++) if (data.label[i] === t && data.read[i] === p) found.push(i);
    found.sort((a, b) => (hit ? data.sure[a] - data.sure[b] : data.sure[b] - data.sure[a]) || data.index[a] - data.index[b]);
    // Of the correct ones the page carries the least certain and a few typical ones, which would be odd company here.
    if (hit) found.splice(data.least[t]);
    panel.replaceChildren(make("h3", { text: `${names[t]} read as ${names[p]}` }));
    let note = `${thousands(count)} of ${thousands(support[t])}`;
    if (!count) note += ": no image.";
    else if (found.length < count) note += `; here ${hit ? `the ${thousands(found.length)} least certain` : `${thousands(found.length)} of them, the surest first`}.`;
    else note += hit ? ", the least certain first." : ", the surest first.";
    panel.append(make("p", { class: "note", text: note }));
    const few = make("div", { class: "few" });
    for (const i of found) {
      const mark = doubtful.has(i) ? " †" : "";
      few.append(make("figure", {}, picture(i, found.length > 15 || window.innerWidth < 600 ? 2 : 3), make("figcaption", { text: percent(data.sure[i]) + mark })));
    }
    panel.append(few);
    // Not the panel itself is spoken: twenty pictures at once would be a speech.
    spoken.textContent = `${thousands(found.length)} images shown`;
    say(cell);
  }

  function focus(cell) {
    for (const other of cells) other.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  }

  matrix.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td");
    if (cell) say(cell);
  });
  matrix.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td");
    if (cell) say(cell);
  });
  matrix.addEventListener("pointerleave", () => {
    const chosen = matrix.querySelector("[aria-selected]");
    if (chosen) say(chosen);
  });
  matrix.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    focus(cell);
    choose(cell);
  });
  matrix.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    if (!cell || event.ctrlKey || event.altKey || event.metaKey) return;
    const [t, p] = place(cell);
    const last = k - 1;
    const moves = { ArrowUp: [t - 1, p], ArrowDown: [t + 1, p], ArrowLeft: [t, p - 1], ArrowRight: [t, p + 1], Home: [t, 0], End: [t, last] };
    if (event.key in moves) {
      const [row, column] = moves[event.key].map((n) => Math.min(last, Math.max(0, n)));
      focus(at(row, column));
    } else if (event.key === "Enter" || event.key === " ") choose(cell);
    else return;
    event.preventDefault();
  });
  for (const input of document.querySelectorAll("input[name=mode]")) {
    input.addEventListener("change", () => {
      matrix.dataset.mode = input.value;
      for (const cell of cells) {
        const [t, p] = place(cell), count = data.confusion[t][p];
        const text = input.value === "row" ? ((100 * count) / support[t]).toFixed(1) : String(count);
        cell.firstElementChild.textContent = count && !(input.value === "miss" && t === p) ? text : "";
      }
    });
  }
  let first = at(0, 0), most = 0;
  for (const cell of cells) {
    const [t, p] = place(cell);
    if (t !== p && data.confusion[t][p] > most) [first, most] = [cell, data.confusion[t][p]];
  }
  first.tabIndex = 0;
  choose(first);

  // ---- gallery
  const form = byId("controls"), list = byId("cards"), status = byId("status"), more = byId("more");
  const PAGE = window.innerWidth < 600 ? 24 : 60;
  let order = [], visible = 0;
  list.classList.toggle("long-names", longNames);

  function grow() {
    list.append(...order.slice(visible, visible + PAGE).map(card));
    visible = Math.min(order.length, visible + PAGE);
    more.hidden = visible >= order.length;
    const what = form.elements.which.value === "mistakes" ? "mistakes" : "hardest correct ones";
    const all = what === "mistakes" ? data.mistakes : data.hardest.length;
    let text = `${thousands(visible)} of ${thousands(order.length)} shown`;
    if (order.length < all) text += `, chosen from ${thousands(all)} ${what}`;
    if (!order.length) text = all ? `None of the ${thousands(all)} ${what} fits.` : `There are no ${what}.`;
    if (what === "mistakes" && data.mistakes < data.errors) text += `. This page carries ${thousands(data.mistakes)} of all ${thousands(data.errors)} mistakes, to stay small`;
    status.textContent = text;
  }

  function refill() {
    const fields = form.elements;
    const want = (name) => (fields[name].value === "" ? null : Number(fields[name].value));
    const label = want("label"), read = want("read");
    const low = (want("from") ?? 0) * 1e7, high = (want("to") ?? 100) * 1e7;
    const doubt = fields.doubtful && fields.doubtful.checked;
    const pool = fields.which.value === "mistakes" ? [...Array(data.mistakes).keys()] : data.hardest;
    order = pool.filter((i) =>
      (label === null || data.label[i] === label) && (read === null || data.read[i] === read) &&
      data.sure[i] >= low && data.sure[i] <= high && (!doubt || doubtful.has(i)));
    const sorts = {
      sure: (a, b) => data.sure[b] - data.sure[a],
      unsure: (a, b) => data.sure[a] - data.sure[b],
      label: (a, b) => data.label[a] - data.label[b] || data.read[a] - data.read[b] || data.sure[b] - data.sure[a],
      read: (a, b) => data.read[a] - data.read[b] || data.label[a] - data.label[b] || data.sure[b] - data.sure[a],
      index: () => 0,
    };
    const by = sorts[fields.order.value];
    order.sort((a, b) => by(a, b) || data.index[a] - data.index[b]);
    list.replaceChildren();
    visible = 0;
    grow();
  }

  form.addEventListener("input", (event) => {
    // The hardest correct ones are those it was least certain of: begin with them.
    if (event.target.name === "which") form.elements.order.value = event.target.value === "mistakes" ? "sure" : "unsure";
    refill();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(refill));
  more.addEventListener("click", grow);
  refill();
})();
