
// From strokes to the answer, all of it here.
(() => {
  const $ = (id) => document.getElementById(id);
  const described = JSON.parse($("network").textContent), network = Network.open(described), names = described.classes;
  let waiting = 0;

  const rows = names.map((name) => {
    const bar = make("i"), number = make("span", { className: "num" });
    const row = make("li", {}, make("b", { textContent: name }), make("span", { className: "lane" }, bar), number);
    $("bars").append(row);
    return { row, bar, number };
  });
  $("bars").classList.toggle("named", names.some((name) => name.length > 1));

  function paint(glyph) {
    const context = $("glyph").getContext("2d"), image = context.createImageData(28, 28);
    for (let n = 0; n < 784; n++) image.data.set([glyph?.[n] ?? 0, glyph?.[n] ?? 0, glyph?.[n] ?? 0, 255], 4 * n);
    context.putImageData(image, 0, 0);
  }

  function show(glyph) {
    paint(glyph);
    const seen = glyph ? network.probabilities(glyph) : null, best = seen ? seen.indexOf(Math.max(...seen)) : -1;
    rows.forEach(({ row, bar, number }, n) => {
      row.className = n === best ? "first" : "";
      bar.style.setProperty("--p", seen ? `${100 * seen[n]}%` : "0%");
      number.textContent = seen ? percent(seen[n]) : "";
    });
    const sure = seen && seen[best] >= SURE, name = seen ? names[best] : "?";
    $("big").textContent = name;
    $("big").className = `big ${seen ? (sure ? "" : "doubt") : "none"} ${name.length > 2 ? "long" : ""}`;
    if (!seen) { $("words").textContent = "Nothing drawn yet."; return; }
    const next = seen.map((p, n) => [p, n]).filter(([, n]) => n !== best).sort((a, b) => b[0] - a[0])[0];
    $("words").replaceChildren("Read as ", make("b", { textContent: name }), sure ? `, ${percent(seen[best])} sure.` : `, but only ${percent(seen[best])} sure: `, ...(sure ? [] : [make("b", { textContent: names[next[1]] }), ` has ${percent(next[0])}.`]));
  }

  function read() {
    waiting = 0;
    $("undo").disabled = !Sheet.past;
    $("clear").disabled = Sheet.empty;
    $("hint").hidden = !Sheet.empty;
    show(Sheet.empty ? null : Normalise.drawing(Sheet.picture().canvas));
  }

  Sheet.changed = () => { waiting ||= requestAnimationFrame(read); };
  Sheet.began = () => { $("hint").hidden = true; };
  $("undo").addEventListener("click", Sheet.undo);
  $("clear").addEventListener("click", Sheet.clear);
  const pen = () => { Sheet.pen = Number($("pen").value); $("dot").style.setProperty("--pen", `${$("pen").value}px`); };
  $("pen").addEventListener("input", pen);
  pen();
  let shown = 0;
  $("example")?.addEventListener("click", () => { Sheet.clear(); Sheet.example(["23471"[shown++ % 5]]); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") Sheet.clear();
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); event.shiftKey ? Sheet.redo() : Sheet.undo(); }
  });
  show(null);
})();
