
// From a stroke or photos to requests, and from their answers to the page.
(() => {
  const $ = (id) => document.getElementById(id);
  const WAIT = 25; // milliseconds after a stroke, in which another may begin
  const EMPTY = "Nothing written yet.";
  let timer = 0, newest = 0, asking = null, photo = null, drawing = null, steps = false;

  function fail(message) {
    $("error").textContent = message;
    $("error").hidden = !message;
  }

  // Reads a picture; throws an error whose message can be shown, `dead` where no server answers.
  async function ask(file, name, { single = false, stages = false, signal } = {}) {
    const form = new FormData();
    form.append("file", file, name);
    const query = new URLSearchParams({ explain: 1, single: Number(single), stages: Number(stages), ...(Models.model ? { model: Models.model } : {}) });
    let response, answer;
    try {
      response = await fetch(`read?${query}`, { method: "POST", body: form, signal });
      answer = await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw Object.assign(new Error("The server does not answer. Is digitlab serve still running? What is here is read as soon as it does."), { dead: true });
    }
    if (response.status === 503) throw Object.assign(new Error(answer.error), { dead: true }); // busy: the same again in a second
    if (!response.ok) throw new Error(answer.error);
    for (const digit of answer.digits) digit.glyph = Uint8Array.from(digit.glyph.flat());
    patience = 0;
    fail("");
    return answer;
  }

  // After a dead server: ask whether it is back, first often, then every few seconds, and read what waits.
  let patience = 0, reviving = 0;
  function revive() {
    clearTimeout(reviving);
    reviving = setTimeout(async () => {
      if (!photo && Sheet.empty) return;
      try {
        if ((await fetch("health")).ok) {
          fail("");
          if (photo) Photos.next(ask, photo);
          else later(0);
          return;
        }
      } catch { /* not yet */ }
      revive();
    }, Math.min(5000, 500 * 1.5 ** patience++));
  }

  // ---- drawing
  function buttons() {
    const looking = Boolean(photo);
    $("drawing-tools").hidden = looking;
    $("photo-tools").hidden = !looking;
    $("undo").disabled = !Sheet.past;
    $("redo").disabled = !Sheet.future;
    $("clear").disabled = !looking && Sheet.empty;
    $("clear").textContent = looking ? "Close" : "Clear";
    $("hint").hidden = looking || !Sheet.empty;
    $("tabs").hidden = !looking;
    if (!looking) tab("digits");
    $("scope").hidden = Photos.list.length < 2;
    $("save").hidden = !current()?.answer;
    $("to-check").textContent = Checklist.left || "";
  }
  const current = () => photo || (Sheet.empty ? null : drawing);

  function later(wait = WAIT) {
    clearTimeout(timer);
    clearTimeout(reviving);
    newest++;
    const since = performance.now();
    if (photo) return;
    if (!Sheet.empty && !Answer.answer) Answer.say("Reading…");
    if (Sheet.empty) {
      if (asking) asking.abort();
      asking = drawing = null;
      fail("");
      Answer.clear(EMPTY);
      buttons();
      return;
    }
    timer = setTimeout(() => readDrawing(since), wait);
  }

  // `toBlob` waits for an idle moment, up to a second in a busy browser; this takes 3 ms.
  function png(canvas) {
    const bytes = atob(canvas.toDataURL("image/png").split(",")[1]);
    return new Blob([Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))], { type: "image/png" });
  }

  async function readDrawing(since) {
    const drawn = Sheet.picture(), mine = ++newest;
    if (asking) asking.abort();
    const request = asking = new AbortController();
    // Said only where it takes long enough to be read, or where nothing else stands there.
    if (!Answer.answer) Answer.say("Reading…");
    const slow = setTimeout(() => { if (!photo) Answer.say("Reading…"); }, 400);
    try {
      const answer = await ask(png(drawn.canvas), "drawing.png", { single: $("single").checked, stages: steps, signal: request.signal });
      if (photo || mine !== newest) return; // a photo or a further stroke came meanwhile
      answer.took = performance.now() - since;
      drawing = Object.assign(Photos.source("drawing.png", null), { answer, frames: [drawn.canvas.toDataURL()], state: "read" });
      Photos.sort(drawing);
      setTimeout(Models.compare);
      Answer.show(answer, { element: Sheet.canvas, image: drawn.canvas, size: Sheet.size, place: drawn.place, clickable: false, page: 0, ...hands(drawing) });
      buttons();
      document.dispatchEvent(new CustomEvent("digitlab:read", { detail: { source: drawing, canvas: drawn.canvas } }));
    } catch (error) {
      if (error.name === "AbortError" || mine !== newest) return;
      Answer.clear(error.dead ? "Waiting for the server…" : "Not read.");
      fail(error.message);
      if (error.dead) revive();
    } finally {
      clearTimeout(slow);
    }
  }

  Sheet.began = () => { clearTimeout(timer); newest++; $("hint").hidden = true; if (!Answer.answer) Answer.say("Writing…"); };
  Sheet.changed = () => { buttons(); later(); };

  // ---- what was typed over
  const hands = (source) => ({
    typed: (index) => Photos.typed(source, index),
    second: Models.second,
    number: (index) => source.owner[index]?.order[1],
    picked: (index) => { if (index >= 0) reveal(source, index); },
  });
  function reveal(source, index) {
    const node = $("boxes").querySelectorAll(".box")[source.answer.digits.slice(0, index).filter((digit) => digit.page === Answer.view.page).length];
    if (node && source === photo) Zoom.reveal(node.getBoundingClientRect());
  }

  function typeOver(letter) {
    const source = current(), index = Answer.chosen, item = source?.owner[index];
    if (!item || index < 0) return false;
    const signs = [...(Numbers.text(item).length === item.signs.length ? Numbers.text(item) : item.text)];
    signs[item.signs.indexOf(index)] = letter;
    if (source === photo) Checklist.correct(item, signs.join(""));
    else { item.fixed = signs.join(""); fixed(item); }
    Answer.choose(Math.min(index + 1, source.answer.digits.length - 1), true);
    return true;
  }

  function fixed(item) {
    if (item.photo.node) Photos.show(item.photo);
    if (item.photo === current() && Answer.answer === item.photo.answer) Answer.refresh();
    buttons();
    // For whoever keeps corrections: what each sign of the number is, as far as its length has not changed.
    document.dispatchEvent(new CustomEvent("digitlab:corrected", { detail: { item, source: item.photo } }));
  }
  Checklist.changed = fixed;
  Checklist.focused = (item) => {
    if (item.photo !== photo) look(item.photo, item.signs[0]);
    else if (!item.signs.length) return;
    else if (Answer.answer === photo.answer) {
      const worst = item.signs.reduce((best, sign) => (photo.answer.digits[sign].confidence < photo.answer.digits[best].confidence ? sign : best), item.signs[0]);
      if (!item.signs.includes(Answer.chosen)) Answer.choose(worst);
      reveal(photo, worst);
    }
  };

  $("add-number").addEventListener("click", () => {
    if (photo?.state !== "read") return;
    const item = Photos.missed(photo, Answer.view?.page ?? 0);
    Checklist.add([item]);
    item.field.focus();
  });

  // ---- photos
  function open(files) {
    if (!files.length) return;
    clearTimeout(timer);
    newest++;
    const fresh = Photos.add(files, ask);
    if (Photos.list.length > 1) tab("check");
    if (!photo || Photos.list.length === fresh.length || fresh.length === 1) look(fresh[0]);
    buttons();
  }

  Photos.told = (one, dead, clicked) => {
    if (clicked) { look(one); return; }
    if (dead) { fail(one.error || "The server does not answer. Is digitlab serve still running? What is here is read as soon as it does."); revive(); }
    if (one === photo) look(one);
    buttons();
  };

  async function look(one, sign) {
    if (one !== photo) Zoom.fit();
    photo = one;
    Photos.mark(one);
    fail(one.error);
    const image = $("picture"), frame = one.frames[0];
    $("single").checked = one.single;
    Sheet.canvas.hidden = true;
    $("photo").hidden = one.state === "error" && one.opaque;
    if (one.state !== "read") Answer.clear(one.state === "error" ? "Not read." : "Reading…");
    buttons();
    if (!frame) return;
    if (image.dataset.of !== frame.slice(0, 200) + frame.length) {
      image.src = frame;
      image.dataset.of = frame.slice(0, 200) + frame.length;
      try { await image.decode(); } catch { /* the server shows what it sees, once it has read it */ }
    }
    if (photo !== one || one.state !== "read") return;
    const { answer } = one, view = { element: image, image, size: answer.pages[0], place: (box) => box, clickable: true, page: 0, ...hands(one) };
    if (one.frames.length > 1) {
      view.turn = async (page) => {
        view.page = page;
        view.size = answer.pages[page];
        image.src = one.frames[page];
        image.dataset.of = "";
        await image.decode();
        if (Answer.view === view) Answer.boxes();
      };
    }
    fit();
    Answer.show(answer, view);
    Models.compare();
    if (sign !== undefined) Answer.choose(sign);
    if (steps && !answer.stages) withSteps(one);
    buttons();
  }

  // The same again with a picture of every step.
  async function withSteps(one) {
    try {
      const { stages } = await ask(one.file, one.name, { single: one.single, stages: true });
      one.answer.stages = stages;
      if (photo === one && Answer.view) Answer.show(one.answer, Answer.view);
    } catch (error) { fail(error.message); }
  }

  function close() {
    const changes = Checklist.items.filter(Numbers.corrected).length;
    if (changes && !confirm(`Close ${Photos.list.length === 1 ? "this photo" : `these ${Photos.list.length} photos`} and forget ${changes} correction${changes === 1 ? "" : "s"}?`)) return;
    photo = null;
    Photos.clear();
    fail("");
    $("single").checked = false;
    $("picture").removeAttribute("src");
    delete $("picture").dataset.of;
    $("photo").hidden = true;
    Sheet.canvas.hidden = false;
    Answer.clear(EMPTY);
    buttons();
    later();
  }

  // As large as there is room, a small picture enlarged; one of a few pixels with its pixels to be seen.
  function fit() {
    const image = $("picture"), { naturalWidth: across, naturalHeight: down } = image;
    if (!photo || !across) return;
    const zoom = Math.min($("sheet").clientWidth / across, Math.max(240, 0.72 * window.innerHeight) / down, Math.max(4, 280 / across));
    image.style.width = `${Math.floor(across * zoom)}px`;
    image.classList.toggle("small", across < 120);
  }
  const settle = () => { fit(); Answer.boxes(); };
  $("picture").addEventListener("load", settle);
  window.addEventListener("resize", settle);
  new ResizeObserver(settle).observe($("sheet"));
  Zoom.changed = () => requestAnimationFrame(() => Answer.boxes());

  // ---- what a person may do
  function tab(name, focus = false) {
    for (const one of ["digits", "check"]) {
      const here = one === name;
      $(`tab-${one}`).setAttribute("aria-selected", String(here));
      $(`tab-${one}`).tabIndex = here ? 0 : -1;
      $(`panel-${one}`).hidden = !here;
    }
    if (focus) { if (name === "check") Checklist.start(); else $("tab-digits").focus(); }
  }
  $("tab-digits").addEventListener("click", () => tab("digits"));
  $("tab-check").addEventListener("click", () => tab("check", true));
  $("tabs").addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") { const name = $("panel-check").hidden ? "check" : "digits"; tab(name); $(`tab-${name}`).focus(); }
  });
  for (const button of $("save").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const all = Photos.list.length > 1 && $("scope").value === "all", chosen = all ? Photos.list.filter((one) => one.state === "read" || one.state === "error") : [current()];
      Export.save(button.dataset.kind, chosen).catch((error) => fail(`Not saved: ${error.message}`));
    });
  }
  $("undo").addEventListener("click", Sheet.undo);
  $("redo").addEventListener("click", Sheet.redo);
  const clear = () => (photo ? close() : Sheet.clear());
  $("clear").addEventListener("click", clear);
  const erase = (on) => { Sheet.eraser = on; $("eraser").setAttribute("aria-pressed", String(on)); $("sheet").classList.toggle("erasing", on); };
  $("eraser").addEventListener("click", () => erase(!Sheet.eraser));
  $("pen").addEventListener("input", () => {
    Sheet.pen = Number($("pen").value);
    $("dot").style.setProperty("--pen", `${$("pen").value}px`);
  });
  $("pen").dispatchEvent(new Event("input"));
  $("example").addEventListener("click", () => { if (photo) close(); if (!photo) Sheet.example(["314", "27"]); });
  $("single").addEventListener("change", () => {
    if (!photo) { later(0); return; }
    photo.single = $("single").checked;
    Checklist.drop(photo);
    photo.state = "waiting";
    Answer.clear("Reading…");
    Photos.next(ask, photo);
  });
  Models.changed = () => {
    if (!photo) { later(0); return; }
    photo.state = "waiting";
    Checklist.drop(photo);
    Answer.clear("Reading…");
    Photos.next(ask, photo);
  };
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { open([...$("file").files]); $("file").value = ""; });
  $("show").addEventListener("click", () => {
    steps = !steps;
    $("show").setAttribute("aria-expanded", String(steps));
    $("show").textContent = steps ? "Hide the steps" : "Show the steps";
    $("steps").hidden = !steps;
    if (!steps) return;
    if (photo) look(photo);
    else later(0);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type !== "range" && event.target.type !== "checkbox") return;
    const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
    if (control && !photo && (key === "y" || (key === "z" && event.shiftKey))) Sheet.redo();
    else if (control && !photo && key === "z") Sheet.undo();
    else if (control || event.altKey) return;
    else if (key === "escape") clear();
    else if (/^[0-9]$/.test(key) && Answer.answer && !(key === "0" && photo && Zoom.scale > 1 && Answer.chosen < 0) && typeOver(key)) { /* typed over */ }
    else if (photo && (key === "+" || key === "=")) Zoom.by(1.6);
    else if (photo && key === "-") Zoom.by(1 / 1.6);
    else if (photo && key === "f") Zoom.fit();
    else if (!photo && key === "e") erase(!Sheet.eraser);
    else if ((key === "arrowright" || key === "arrowleft") && Answer.answer && event.target.closest?.("#text, #boxes, body") && !event.target.closest?.("[role=tablist], input")) {
      Answer.choose(Math.max(0, Math.min(Answer.answer.digits.length - 1, Answer.chosen + (key === "arrowright" ? 1 : -1))), true);
    } else return;
    event.preventDefault();
  });
  window.addEventListener("beforeunload", (event) => { if (Checklist.items.some(Numbers.corrected)) event.preventDefault(); });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) { event.preventDefault(); open(files); }
  });
  let depth = 0;
  const over = (by) => { depth = Math.max(0, depth + by); $("sheet").classList.toggle("over", depth > 0); };
  document.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    open([...event.dataTransfer.files]);
  });
  for (const node of document.querySelectorAll(".origin")) node.textContent = new URL(".", location.href).href;
  buttons();
})();
