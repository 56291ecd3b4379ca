
// Which network reads, a second one beside it on the same glyphs, and what each layer makes of the chosen digit.
const Models = (() => {
  const $ = (id) => document.getElementById(id);
  let names = [], rows = null, rowsOf = null, open = false, changed = () => {};

  const query = (name) => (name ? `?model=${encodeURIComponent(name)}` : "");
  async function post(what, name, images) {
    const response = await fetch(`models/${what}${query(name)}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ images }) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }
  const image = (glyph) => Array.from({ length: 28 }, (_, y) => Array.from(glyph.subarray(28 * y, 28 * y + 28)));

  async function list() {
    try { names = await (await fetch("models")).json(); } catch { return; }
    $("models").hidden = names.length < 2;
    const option = ({ name, title }) => make("option", { value: name, textContent: title });
    const first = $("model").value, second = $("second").options.length ? $("second").value : "none";
    $("model").replaceChildren(...names.map(option));
    // Beside each other only what knows the same: a network of other classes names single images.
    $("second").replaceChildren(make("option", { value: "none", textContent: "nobody" }), ...names.filter(({ digits }) => digits).map(option));
    $("model").value = names.some(({ name }) => name === first) ? first : "";
    $("second").value = names.some(({ name }) => name === second) ? second : "none";
  }

  // The same glyphs through the second network: whatever differs is the network's, not the page's.
  async function compare() {
    const { answer } = Answer;
    rows = rowsOf = null;
    if (answer && answer.digits.length && !answer.classes && $("second").value !== "none") {
      try {
        const found = await post("predict", $("second").value, answer.digits.map((digit) => image(digit.glyph)));
        if (answer !== Answer.answer) return;
        [rows, rowsOf] = [found.probabilities, answer];
      } catch (error) { tell(error.message); return; }
    }
    if (Answer.answer) Answer.choose(Answer.chosen);
  }

  const title = () => $("second").selectedOptions[0]?.textContent;
  function tell(words) {
    $("second-verdict").hidden = !words;
    $("second-verdict").replaceChildren(...[words].flat().filter(Boolean));
  }

  function chose() {
    const row = rowsOf === Answer.answer && rows ? rows[Answer.chosen] : null;
    if (row) {
      const best = row.indexOf(Math.max(...row)), differ = rows.filter((one, i) => Answer.answer.digits[i].digit !== null && one.indexOf(Math.max(...one)) !== Answer.answer.digits[i].digit).length;
      tell([make("i", { className: "swatch" }), make("b", { textContent: title() }), " reads ", make("b", { textContent: best }), `, ${percent(row[best])} sure. `, differ ? `They differ on ${differ} of ${rows.length}.` : "They agree on all."]);
    } else tell("");
    if (open) inside();
  }

  // ---- inside
  async function inside() {
    const place = $("layers"), { answer, chosen } = Answer;
    place.hidden = !open || chosen < 0;
    $("look").setAttribute("aria-expanded", String(open));
    if (place.hidden) return;
    let found;
    try { found = await post("inside", $("model").value, [image(answer.digits[chosen].glyph)]); } catch (error) { place.replaceChildren(make("p", { className: "about", textContent: error.message })); return; }
    if (answer !== Answer.answer || chosen !== Answer.chosen) return;
    place.replaceChildren(make("h3", { textContent: "From the image to the answer" }), ...found.layers.map((layer) => {
      const [, high, wide] = layer.shape, flat = high === 1;
      const maps = layer.maps.map((text, number) => {
        const values = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), across = flat ? Math.min(wide, 32) : wide, down = flat ? Math.ceil(wide / across) : high;
        const canvas = make("canvas", { width: across, height: down }), context = canvas.getContext("2d"), data = context.createImageData(across, down);
        values.forEach((value, i) => data.data.set([value, value, value, 255], 4 * i));
        context.putImageData(data, 0, 0);
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", flat ? `activations of ${wide} units` : `map ${number + 1}`);
        if (flat) canvas.className = "units";
        return canvas;
      });
      return make("figure", {}, make("figcaption", {}, make("b", { textContent: layer.title }), layer.words), make("div", { className: "maps" }, ...maps));
    }));
  }

  $("look").addEventListener("click", () => { open = !open; inside(); });
  $("model").addEventListener("change", () => changed());
  $("second").addEventListener("change", compare);
  Answer.chose = chose;
  list();

  return {
    get model() { return $("model").value; },
    second: (index) => (rowsOf === Answer.answer && rows ? rows[index] : undefined),
    compare, list,
    set changed(call) { changed = call; },
  };
})();
