
// From a stroke or a photo to a request, and from its answer to the page.
(() => {
  const $ = (id) => document.getElementById(id);
  const WAIT = 25; // milliseconds after a stroke, in which another may begin
  const EMPTY = "Nothing written yet.";
  let timer = 0, newest = 0, asking = null, photo = null, url = "", steps = false;

  function fail(message) {
    $("error").textContent = message;
    $("error").hidden = !message;
  }

  async function ask(file, name, since) {
    if (asking) asking.abort();
    const mine = asking = new AbortController();
    // Said only where it takes long enough to be read, or where nothing else stands there.
    if (!Answer.answer) Answer.say("Reading…");
    const slow = setTimeout(() => Answer.say("Reading…"), 400);
    const form = new FormData();
    form.append("file", file, name);
    const query = new URLSearchParams({ explain: 1, single: Number($("single").checked), stages: Number(steps || Boolean(photo && photo.opaque)) });
    try {
      const response = await fetch(`read?${query}`, { method: "POST", body: form, signal: mine.signal });
      const answer = await response.json();
      if (mine !== asking) return null;
      if (!response.ok) throw new Error(answer.error);
      fail("");
      patience = 0;
      return Object.assign(answer, { took: performance.now() - since });
    } catch (error) {
      if (mine !== asking || error.name === "AbortError") return null;
      const dead = error instanceof TypeError || error instanceof SyntaxError;
      Answer.clear(dead ? "Waiting for the server…" : "Not read.");
      fail(dead ? "The server does not answer. Is digitlab serve still running? What is here is read as soon as it does." : error.message);
      if (dead) revive();
      return null;
    } finally {
      clearTimeout(slow);
    }
  }

  // After a dead server: ask whether it is back, first often, then every few seconds, and read what waits.
  let patience = 0, reviving = 0;
  function revive() {
    clearTimeout(reviving);
    reviving = setTimeout(async () => {
      if (!photo && Sheet.empty) return;
      try {
        if ((await fetch("health")).ok) { later(0); return; }
      } catch { /* not yet */ }
      revive();
    }, Math.min(5000, 500 * 1.5 ** patience++));
  }

  // ---- drawing
  function buttons() {
    $("undo").disabled = Boolean(photo) || !Sheet.past;
    $("redo").disabled = Boolean(photo) || !Sheet.future;
    $("clear").disabled = !photo && Sheet.empty;
    $("hint").hidden = Boolean(photo) || !Sheet.empty;
  }

  function later(wait = WAIT) {
    clearTimeout(timer);
    clearTimeout(reviving);
    newest++;
    const since = performance.now();
    if (photo) { readPhoto(since); return; }
    if (!Sheet.empty && !Answer.answer) Answer.say("Reading…");
    if (Sheet.empty) {
      if (asking) asking.abort();
      asking = null;
      fail("");
      Answer.clear(EMPTY);
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
    const answer = await ask(png(drawn.canvas), "drawing.png", since);
    if (!answer || photo || mine !== newest) return; // a photo or a further stroke came meanwhile
    Answer.show(answer, { element: Sheet.canvas, image: drawn.canvas, size: Sheet.size, place: drawn.place, clickable: false, page: 0 });
  }

  Sheet.began = () => { clearTimeout(timer); newest++; $("hint").hidden = true; if (!Answer.answer) Answer.say("Writing…"); };
  Sheet.changed = () => { buttons(); later(); };

  // ---- photos
  async function open(file) {
    fail("");
    clearTimeout(timer);
    newest++;
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(file);
    photo = { file, opaque: false };
    const mine = photo, image = $("picture");
    $("photo").hidden = false;
    Sheet.canvas.hidden = true;
    Answer.clear("Reading…");
    buttons();
    image.src = url;
    try { await image.decode(); } catch { mine.opaque = true; } // TIFF, say: the server shows what it sees
    if (photo === mine) readPhoto(performance.now());
  }

  async function readPhoto(since) {
    const mine = photo, image = $("picture");
    const answer = await ask(mine.file, mine.file.name || "picture", since);
    if (photo !== mine) return;
    if (!answer) { $("photo").hidden = mine.opaque; return; }
    $("photo").hidden = false;
    const view = { element: image, image, size: answer.pages[0], place: (box) => box, clickable: true, page: 0 };
    if (mine.opaque && answer.stages.length) {
      const turn = async (page) => {
        view.page = page;
        view.size = answer.pages[page];
        image.src = answer.stages[page].grey;
        await image.decode();
      };
      await turn(0);
      view.turn = (page) => turn(page).then(() => { if (Answer.view === view) Answer.boxes(); });
    }
    fit();
    Answer.show(answer, view);
  }

  function close() {
    photo = null;
    URL.revokeObjectURL(url);
    $("picture").removeAttribute("src");
    $("photo").hidden = true;
    Sheet.canvas.hidden = false;
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

  // ---- what a person may do
  $("undo").addEventListener("click", Sheet.undo);
  $("redo").addEventListener("click", Sheet.redo);
  const clear = () => (photo ? close() : Sheet.clear());
  $("clear").addEventListener("click", clear);
  $("pen").addEventListener("input", () => {
    Sheet.pen = Number($("pen").value);
    $("dot").style.setProperty("--pen", `${$("pen").value}px`);
  });
  $("pen").dispatchEvent(new Event("input"));
  $("example").addEventListener("click", () => { if (photo) close(); Sheet.example(["314", "27"]); });
  $("single").addEventListener("change", () => later(0));
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { if ($("file").files[0]) open($("file").files[0]); $("file").value = ""; });
  $("show").addEventListener("click", () => {
    steps = !steps;
    $("show").setAttribute("aria-expanded", String(steps));
    $("show").textContent = steps ? "Hide the steps" : "Show the steps";
    $("steps").hidden = !steps;
    if (steps) later(0);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type !== "range" && event.target.type !== "checkbox") return;
    const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
    if (control && !photo && (key === "y" || (key === "z" && event.shiftKey))) Sheet.redo();
    else if (control && !photo && key === "z") Sheet.undo();
    else if (key === "escape" && !control) clear();
    else return;
    event.preventDefault();
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) { event.preventDefault(); open(file); }
  });
  let depth = 0;
  const over = (by) => { depth = Math.max(0, depth + by); $("sheet").classList.toggle("over", depth > 0); };
  document.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    const file = [...event.dataTransfer.files][0];
    if (file) open(file);
  });
  for (const node of document.querySelectorAll(".origin")) node.textContent = new URL(".", location.href).href;
  buttons();
})();
