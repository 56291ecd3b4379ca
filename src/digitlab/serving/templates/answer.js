
// What was read: the text, boxes on the picture, one digit looked at closely, and the steps.
const Answer = (() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  let answer = null, view = null, chosen = -1, heats = new Map();

  const draw = (name, attributes) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  // What was typed over counts as sure; `view.typed(index)` gives it, or undefined.
  const typed = (index) => view?.typed?.(index);
  const shown = (digit, index) => typed(index) ?? digit.character;
  const kind = (digit, index) => (typed(index) !== undefined ? "sure typed" : digit.rejected ? "no-digit" : digit.confidence < SURE ? "doubt" : "sure");

  // view: { image, size: [w, h] of the image in boxes' units, place: box -> box, clickable, page }
  function show(next, nextView) {
    // The same glyphs again, with the steps this time: whoever looks at one of them goes on.
    const same = answer && answer.digits.length === next.digits.length && answer.digits.every((digit, i) => String(digit.glyph) === String(next.digits[i].glyph));
    if (!same) {
      heats = new Map();
      chosen = -1;
    }
    answer = next;
    view = nextView;
    const { digits } = answer;
    letters();
    $("copy").hidden = !digits.length;
    $("start").hidden = digits.length > 0;
    const lines = new Set(digits.map((digit) => `${digit.page}/${digit.line}`));
    const named = digits.filter((digit) => !digit.rejected && digit.digit !== null);
    const parts = [answer.classes ? (digits.length ? "Read as one image" : "Nothing found") : named.length ? `${named.length} digit${named.length === 1 ? "" : "s"}` : "No digits found"];
    if (lines.size > 1 && named.length) parts[0] += ` in ${lines.size} lines`;
    const refused = digits.filter((digit) => digit.rejected).length;
    if (refused) parts.push(`${refused} refused`);
    if (named.length) parts.push(`${named.length > 1 ? "least sure: " : ""}${percent(Math.min(...named.map((d) => d.confidence)))}${named.length > 1 ? "" : " sure"}`);
    const degrees = (answer.turned || []).find((turn) => turn);
    if (degrees) parts.push(`turned by ${Math.round(degrees)}°`);
    if ((answer.straightened || []).some(Boolean)) parts.push("straightened");
    parts.push(answer.took < 1000 ? `${Math.round(answer.took)}\u00a0ms` : `${(answer.took / 1000).toFixed(1)}\u00a0s`);
    $("summary").textContent = parts.join(" · ");
    $("summary").dataset.milliseconds = answer.took.toFixed(1);
    $("summary").title = "from the end of the stroke, or from the photo's arrival, to this answer";
    // The one most worth a look: refused, else least sure.
    let worst = chosen;
    if (!same) digits.forEach((digit, index) => {
      const rank = (d) => (d.rejected ? -1 : 0) + d.confidence;
      if (worst < 0 || rank(digit) < rank(digits[worst])) worst = index;
    });
    choose(worst);
    steps();
  }

  // The text as buttons, a line each, with a gap between numbers, which stay whole where a line breaks.
  function letters() {
    const lines = new Map(), { digits } = answer;
    digits.forEach((digit, index) => {
      const key = `${digit.page}/${digit.line}`;
      if (!lines.has(key)) lines.set(key, make("div"));
      const line = lines.get(key);
      const button = make("button", { type: "button", textContent: shown(digit, index), className: kind(digit, index) });
      const number = view.number?.(index);
      if (!line.lastChild || (number !== undefined && number !== view.number(index - 1))) line.append(make("span"));
      const name = typed(index) !== undefined ? `${typed(index)}, typed over` : digit.rejected ? `refused: ${digit.reason}` : `${digit.character}, ${percent(digit.confidence)} sure`;
      button.setAttribute("aria-label", name);
      button.setAttribute("aria-pressed", String(index === chosen));
      button.addEventListener("click", () => choose(index, true));
      line.lastChild.append(button);
    });
    $("text").replaceChildren(...lines.values());
    $("text").classList.toggle("many", digits.length > 12 || lines.size > 2);
  }

  function clear(words) {
    answer = view = null;
    chosen = -1;
    $("text").replaceChildren();
    $("copy").hidden = true;
    $("summary").textContent = words;
    $("digit").hidden = true;
    $("start").hidden = false;
    $("boxes").replaceChildren();
    $("steps").replaceChildren();
  }

  function boxes() {
    const svg = $("boxes");
    svg.replaceChildren();
    if (!answer) return;
    const image = view.element.getBoundingClientRect(), sheet = $("sheet").getBoundingClientRect();
    if (!image.width) return; // not laid out yet
    Object.assign(svg.style, {
      left: `${image.left - sheet.left - $("sheet").clientLeft}px`, top: `${image.top - sheet.top - $("sheet").clientTop}px`,
      width: `${image.width}px`, height: `${image.height}px`,
    });
    svg.setAttribute("viewBox", `0 0 ${view.size[0]} ${view.size[1]}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.classList.toggle("clickable", view.clickable);
    const unit = view.size[0] / image.width; // of the picture, for one pixel of the screen
    const here = answer.digits.map((digit, index) => ({ digit, index })).filter(({ digit }) => digit.page === view.page);
    const places = here.map(({ digit }) => view.place(digit.box)), taken = places.map(([l, t, r, b]) => [l / unit - 3, t / unit - 3, r / unit + 3, b / unit + 3]);
    here.forEach(({ digit, index }, at) => {
      const [left, top, right, bottom] = places[at], pad = 3 * unit;
      const place = { x: left - pad, y: top - pad, width: right - left + 2 * pad, height: bottom - top + 2 * pad, rx: 3 * unit };
      const rect = draw("rect", { ...place, class: `box ${kind(digit, index)}${index === chosen ? " chosen" : ""}` });
      if (view.clickable) svg.append(draw("rect", { ...place, class: "casing" })); // seen on any photo
      if (view.clickable) rect.addEventListener("click", () => choose(index, true));
      const label = Labels.beside(taken[at], shown(digit, index).length, taken, at), [l, t, r, b] = label.room;
      taken.push(label.room);
      const tag = draw("rect", { x: l * unit, y: t * unit, width: (r - l) * unit, height: (b - t) * unit, rx: 3 * unit, class: `tag ${kind(digit, index)}` });
      const text = draw("text", { x: label.x * unit, y: label.y * unit, "font-size": label.size * unit, class: kind(digit, index) });
      text.textContent = shown(digit, index);
      svg.append(rect, tag, text);
    });
  }

  // `byHand`: somebody pointed at it, so its number comes up elsewhere too.
  function choose(index, byHand = false) {
    chosen = index;
    if (byHand && view) view.picked?.(index);
    [...$("text").querySelectorAll("button")].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === index));
      if (i === index) reveal(button, $("text"));
    });
    $("digit").hidden = index < 0;
    if (index >= 0) {
      const digit = answer.digits[index];
      if (view.turn && digit.page !== view.page) view.turn(digit.page);
      cutOut(digit);
      glyph($("glyph"), digit.glyph);
      verdict(digit);
      bars(digit);
      chose();
      $("matter").hidden = digit.rejected || digit.digit === null; // it asks about a digit
      paint(heats.get(index));
    }
    boxes();
  }

  // Within its own box: `scrollIntoView` would move the page under the hand that draws.
  function reveal(node, box) {
    const inner = node.getBoundingClientRect(), outer = box.getBoundingClientRect();
    if (inner.top < outer.top) box.scrollTop -= outer.top - inner.top;
    else if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom;
  }

  function cutOut(digit) {
    // The picture at hand may be smaller or larger than the one that the boxes are measured in.
    const canvas = $("cut"), side = 280, context = canvas.getContext("2d"), { image } = view;
    const [w, h] = answer.pages[digit.page], kx = (image.naturalWidth || image.width) / w, ky = (image.naturalHeight || image.height) / h;
    const [left, top, right, bottom] = digit.box, pad = 0.12 * Math.max(right - left, bottom - top, 4);
    const across = right - left + 2 * pad, down = bottom - top + 2 * pad, zoom = side / Math.max(across, down);
    canvas.width = canvas.height = side;
    context.imageSmoothingEnabled = zoom < 4;
    try {
      context.drawImage(image, (left - pad) * kx, (top - pad) * ky, across * kx, down * ky, (side - across * zoom) / 2, (side - down * zoom) / 2, across * zoom, down * zoom);
    } catch { /* not loaded yet */ }
  }

  function glyph(canvas, bytes) {
    const context = canvas.getContext("2d"), data = context.createImageData(28, 28);
    bytes.forEach((value, i) => data.data.set([value, value, value, 255], 4 * i));
    context.putImageData(data, 0, 0);
  }

  // What an answer is called: a digit is its own name.
  const called = (number) => answer.classes?.[number] ?? number;

  // What the ten digits leave: that it is none of them. Other classes leave nothing.
  const none = (digit) => answer.classes || digit.rejected || digit.digit === null ? 0 : Math.max(0, 1 - digit.probabilities.reduce((sum, p) => sum + p, 0));

  function verdict(digit) {
    const order = digit.probabilities.map((p, name) => [p, called(name)]).sort((a, b) => b[0] - a[0]), [first, second] = order;
    const node = $("verdict");
    if (typed(chosen) !== undefined) {
      node.replaceChildren("Typed over: ", make("b", { textContent: typed(chosen) }), `. The network read ${digit.rejected ? "no digit" : digit.character}.`);
    } else if (digit.digit === null) {
      node.replaceChildren("Read as the sign ", make("b", { textContent: digit.character }), `, ${percent(digit.confidence)} sure. Below is what it would be as a digit.`);
    } else if (digit.rejected) {
      node.replaceChildren(make("b", { className: "no", textContent: "Refused: " }), `${digit.reason}. ${answer.classes ? "The most probable is" : `As a digit it would be ${first[1] === 8 ? "an" : "a"}`} `, make("b", { textContent: first[1] }), ".");
    } else if (digit.confidence < SURE && none(digit) > second[0]) {
      node.replaceChildren("Read as ", make("b", { textContent: called(digit.digit) }), `, but only ${percent(digit.confidence)} sure: it may be no digit at all.`);
    } else if (digit.confidence < SURE) {
      node.replaceChildren("Read as ", make("b", { textContent: called(digit.digit) }), `, but only ${percent(digit.confidence)} sure: `, make("b", { textContent: second[1] }), ` has ${percent(second[0])}.`);
    } else {
      node.replaceChildren("Read as ", make("b", { textContent: called(digit.digit) }), `, ${percent(digit.confidence)} sure.`);
      if (second[0] >= 0.0005) node.append(` Next is ${second[1]} with ${percent(second[0])}.`);
    }
  }

  function bars(digit) {
    const best = digit.probabilities.indexOf(Math.max(...digit.probabilities)), rest = none(digit);
    $("rest").textContent = rest >= 0.0005 ? `No digit at all: ${percent(rest)}` : "";
    const other = view.second?.(chosen); // the ten probabilities of a second network
    $("bars").classList.toggle("two", Boolean(other));
    $("bars").classList.toggle("named", Boolean(answer.classes));
    $("bars").classList.toggle("no-digit", digit.rejected);
    $("bars").replaceChildren(...digit.probabilities.map((p, name) => {
      const bar = make("i");
      bar.style.setProperty("--p", `${100 * p}%`);
      return make("li", { className: name === best ? "first" : "" }, make("b", { textContent: called(name) }), make("span", { className: "lane" }, bar, ...(other ? [lane(other[name])] : [])), make("span", { className: "num", textContent: percent(p) }));
    }));
  }

  function lane(p) {
    const bar = make("i", { className: "other" });
    bar.style.setProperty("--p", `${100 * p}%`);
    return bar;
  }

  // ---- what mattered: hide a patch, ask again, everywhere; where the answer suffers, the ink mattered
  const PATCH = 5, rows = (glyph) => Array.from({ length: 28 }, (_, y) => Array.from(glyph.subarray(28 * y, 28 * y + 28)));
  async function matter() {
    if (chosen < 0) return;
    if (heats.has(chosen)) { heats.delete(chosen); paint(); return; }
    // The glyph whole comes first: what was read also weighs its neighbours, which this network never sees.
    const index = chosen, digit = answer.digits[index], asked = answer, spots = [], whole = rows(digit.glyph), images = [];
    for (let top = -2; top < 28; top += 2) {
      for (let left = -2; left < 28; left += 2) {
        let ink = 0;
        const image = whole.map((row, y) => row.map((value, x) => {
          if (y < top || y >= top + PATCH || x < left || x >= left + PATCH) return value;
          ink += value;
          return 0;
        }));
        if (ink > 100) { spots.push([left, top]); images.push(image); }
      }
    }
    if (!images.length) return;
    let found;
    try {
      const response = await fetch("predict", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ images: [whole, ...images] }) });
      if (!response.ok) return;
      found = (await response.json()).probabilities;
    } catch { return; }
    if (answer !== asked) return;
    const before = found.shift()[digit.digit], sum = new Float64Array(784), count = new Float64Array(784);
    let worst = 0;
    const drops = found.map((row) => Math.max(0, before - row[digit.digit]));
    drops.forEach((drop, i) => {
      if (drop > drops[worst]) worst = i;
      const [left, top] = spots[i];
      for (let y = Math.max(0, top); y < Math.min(28, top + PATCH); y++) for (let x = Math.max(0, left); x < Math.min(28, left + PATCH); x++) { sum[28 * y + x] += drop; count[28 * y + x] += 1; }
    });
    const values = [...sum].map((value, i) => (count[i] ? value / count[i] : 0));
    const after = found[worst], then = after.indexOf(Math.max(...after));
    const words = drops[worst] < 0.02
      ? `No single part: hide any ${PATCH} × ${PATCH} patch, and it is still ${digit.digit === 8 ? "an" : "a"} ${digit.digit}.`
      : `Where orange is strongest: hide that, and ${digit.digit} falls from ${percent(before)} to ${percent(after[digit.digit])}${then === digit.digit ? "" : `, and it is read as ${then}`}.`;
    heats.set(index, { values: drops[worst] < 0.02 ? null : values, words });
    if (chosen === index) paint(heats.get(index));
  }

  function paint(heat) {
    const context = $("heat").getContext("2d");
    context.clearRect(0, 0, 28, 28);
    $("matter").setAttribute("aria-pressed", String(Boolean(heat)));
    $("mattered").textContent = heat ? heat.words : "";
    if (!heat || !heat.values) return;
    const most = Math.max(...heat.values), data = context.createImageData(28, 28);
    heat.values.forEach((value, i) => data.data.set([232, 110, 20, 215 * value / most], 4 * i));
    context.putImageData(data, 0, 0);
  }

  // ---- the steps
  const STEPS = [
    ["grey", "In grey", "Colours weighed so that ink stands out. Each orange box is a piece that hangs together: two digits in one box touch, one digit in two boxes has a gap."],
    ["paper", "The paper", "As if nobody had written on it. Shadows and folds belong here; a ghost of a digit here means the pen is too wide for the image."],
    ["ink", "The ink", "Grey divided by paper. A digit that is pale here was written too faintly, or lies in the dark."],
    ["mask", "What counts", "Ink above the threshold. What is missing here is never read; ruled lines that were taken out are blue."],
  ];
  function steps() {
    const place = $("steps");
    if (!answer || !answer.stages) { place.replaceChildren(); return; }
    const nodes = [];
    answer.stages.forEach((stage, page) => {
      STEPS.forEach(([name, title, words], number) => {
        const frame = make("div", { className: "step" }, make("img", { src: stage[name], alt: title }));
        if (name === "grey") {
          const svg = draw("svg", { viewBox: `0 0 ${stage.width} ${stage.height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
          for (const [left, top, right, bottom] of stage.pieces) svg.append(draw("rect", { x: left, y: top, width: right - left, height: bottom - top }));
          frame.append(svg);
        }
        const heading = `${number + 1} ${title}${name === "grey" && stage.inverted ? ", inverted: the ink is lighter than its paper" : ""}${answer.stages.length > 1 ? `, page ${page + 1}` : ""}`;
        nodes.push(make("figure", {}, frame, make("figcaption", {}, make("b", { textContent: heading }), words)));
      });
    });
    const strip = make("figure", { className: "glyphs" });
    answer.digits.forEach((digit, index) => {
      const canvas = make("canvas", { width: 28, height: 28 });
      glyph(canvas, digit.glyph);
      const button = make("button", { type: "button" }, canvas, make("span", { textContent: digit.rejected ? "?" : `${digit.character}, ${percent(digit.confidence)}` }));
      button.addEventListener("click", () => { choose(index); $("digit").scrollIntoView({ block: "nearest" }); });
      strip.append(button);
    });
    strip.append(make("figcaption", {}, make("b", { textContent: "5 What the network sees" }), "Each digit cut out, its pen made as wide as MNIST's, 20 × 20 pixels in a frame of 28 × 28, its centre of mass in the middle. If a person could not read it here, the network cannot either."));
    place.replaceChildren(...nodes, strip);
  }

  // As shown: what was typed over is copied, not what was read.
  const words = () => [...$("text").children].map((line) => [...line.children].map((number) => number.textContent).join(" ")).join("\n");
  $("matter").addEventListener("click", matter);
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(words());
    } catch { // over plain HTTP from another machine there is no clipboard to write to
      const area = make("textarea", { value: words(), className: "sr" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  });

  let chose = () => {};
  const say = (words) => { $("summary").textContent = words; };
  const refresh = () => { letters(); choose(chosen); };
  return { show, clear, say, boxes, choose, refresh, kind, shown, set chose(call) { chose = call; }, get chosen() { return chosen; }, get answer() { return answer; }, get view() { return view; } };
})();
