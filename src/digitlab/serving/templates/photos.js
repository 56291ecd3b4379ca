
// Photos that were dropped, pasted or chosen: each is read in its turn, its numbers go to the list, its picture to the film.
const Photos = (() => {
  const AT_ONCE = 2, CROP = 96, THUMB = 120; // requests under way; pixels of height
  const film = document.getElementById("film");
  let list = [], count = 0, under = 0, told = () => {};

  // What is known of a drawing or a photo: its answer, its numbers, and what was typed over.
  function source(name, file) {
    return { order: count++, name, file, state: "waiting", answer: null, error: "", items: [], owner: [], frames: [], opaque: false, seen: 0, single: false };
  }

  // Which number each sign belongs to: a number's text is that of its signs, in order.
  function sort(photo) {
    const { digits, numbers = [] } = photo.answer;
    photo.owner = new Array(digits.length);
    photo.items = [];
    let at = 0;
    for (const number of numbers) {
      const { length } = number.text, fits = (i) => digits.slice(i, i + length).map((digit) => digit.character).join("") === number.text && digits[i].line === number.line;
      let start = at;
      while (start + length <= digits.length && !fits(start)) start++;
      if (start + length > digits.length) continue;
      at = start + length;
      if (!/[0-9]/.test(number.text)) continue; // a word, a blot
      const item = { ...number, file: photo.name, order: [photo.order, photo.items.length], signs: [...Array(length).keys()].map((i) => start + i), photo, crop: "", fixed: null, done: false };
      for (const sign of item.signs) photo.owner[sign] = item;
      photo.items.push(item);
    }
  }

  // A number that was not found: nothing stands in it until somebody types it.
  function missed(photo, page) {
    const item = { text: "", value: null, confidence: 0, box: ["", "", "", ""], line: "", page, file: photo.name, order: [photo.order, photo.items.length], signs: [], photo, crop: "", byHand: true, fixed: null, done: false };
    photo.items.push(item);
    return item;
  }

  // The sign as it was typed over, undefined where it was not or where the number has another length now.
  function typed(photo, index) {
    const item = photo.owner[index];
    if (!item || item.fixed === null || item.fixed.length !== item.signs.length) return undefined;
    const place = item.signs.indexOf(index), letter = item.fixed[place];
    return letter === item.text[place] ? undefined : letter;
  }

  async function pictureOf(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  }

  // Small pictures of the whole and of each number, drawn once while the photo is at hand.
  async function cut(photo) {
    for (let page = 0; page < photo.answer.pages.length; page++) {
      const image = await pictureOf(photo.frames[page] || photo.frames[0]);
      const [w, h] = photo.answer.pages[page], kx = image.naturalWidth / w, ky = image.naturalHeight / h;
      if (page === 0) photo.thumb = shrunk(image, 0, 0, image.naturalWidth, image.naturalHeight, THUMB);
      for (const item of photo.items.filter((one) => one.page === page)) {
        const [l, t, r, b] = item.box, pad = 0.25 * (b - t) + 2;
        item.crop = shrunk(image, (l - pad) * kx, (t - pad) * ky, (r - l + 2 * pad) * kx, (b - t + 2 * pad) * ky, CROP);
      }
    }
  }

  function shrunk(image, x, y, w, h, high) {
    const zoom = Math.min(high / h, 480 / w), canvas = make("canvas", { width: Math.max(1, Math.round(w * zoom)), height: Math.max(1, Math.round(h * zoom)) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, x, y, w, h, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.85);
  }

  async function read(photo, ask) {
    photo.state = "reading";
    show(photo);
    const since = performance.now();
    if (!photo.frames.length) {
      photo.frames = [URL.createObjectURL(photo.file)];
      try { await pictureOf(photo.frames[0]); } catch { photo.opaque = true; } // TIFF, say: the server shows what it sees
    }
    try {
      photo.answer = await ask(photo.file, photo.name, { single: photo.single, stages: photo.opaque });
      photo.answer.took = performance.now() - since;
      if (photo.opaque) photo.frames = photo.answer.stages.map((stage) => stage.grey);
      sort(photo);
      await cut(photo);
      photo.state = "read";
      photo.error = "";
      if (list.includes(photo)) Checklist.add(photo.items);
    } catch (error) {
      if (error.dead) { photo.state = "waiting"; throw error; }
      photo.state = "error";
      photo.error = error.message;
    } finally {
      show(photo);
    }
  }

  // The photo looked at first, then in order.
  function next(ask, first) {
    while (under < AT_ONCE) {
      const photo = first && first.state === "waiting" ? first : list.find((one) => one.state === "waiting");
      if (!photo) return;
      under++;
      read(photo, ask).then(() => told(photo), () => told(photo, true)).finally(() => { under--; if (photo.state !== "waiting") next(ask); });
    }
  }

  function add(files, ask) {
    const fresh = files.map((file) => source(file.name || "image", file));
    list.push(...fresh);
    for (const photo of fresh) {
      const button = make("button", { type: "button" }, make("span", { className: "thumb" }), make("span", { className: "state" }), make("span", { className: "name", textContent: photo.name }));
      button.addEventListener("click", () => told(photo, false, true));
      photo.node = make("li", {}, button);
      film.append(photo.node);
      show(photo);
    }
    film.hidden = list.length < 2;
    next(ask, fresh[0]);
    return fresh;
  }

  function show(photo) {
    if (!photo.node) return;
    const [thumb, state] = photo.node.firstChild.children;
    if (photo.thumb && !thumb.firstChild) thumb.append(make("img", { src: photo.thumb, alt: "" }));
    const doubtful = photo.items.filter((item) => item.doubtful && !item.done && !Numbers.corrected(item)).length;
    const words = { waiting: "waiting", reading: "Reading…", error: "not read", read: photo.answer?.classes ? photo.answer.text || "nothing" : doubtful ? `${doubtful} to check` : `${photo.items.length} number${photo.items.length === 1 ? "" : "s"}` }[photo.state];
    state.textContent = words;
    photo.node.firstChild.title = photo.error || `${photo.name}: ${words}`;
    photo.node.className = photo.state === "read" && doubtful ? "doubt" : photo.state;
  }

  function mark(chosen) {
    for (const photo of list) photo.node.firstChild.setAttribute("aria-current", String(photo === chosen));
    if (chosen?.node && !film.hidden) film.scrollLeft = Math.max(0, chosen.node.offsetLeft - film.offsetLeft - 60);
  }

  function clear() {
    for (const photo of list) if (!photo.opaque) URL.revokeObjectURL(photo.frames[0]);
    list = [];
    film.replaceChildren();
    film.hidden = true;
    Checklist.clear();
  }

  return { source, sort, missed, typed, pictureOf, add, next, show, mark, clear, get list() { return list; }, set told(call) { told = call; } };
})();
