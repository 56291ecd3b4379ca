
// What was read and corrected, as files: a table, JSON, and the photos with what was read drawn in.
const Export = (() => {
  const BLUE = "#00639c", ORANGE = "#b84a00"; // as on the page, on light paper

  const json = (photos) => JSON.stringify(photos.map((photo) => photo.error ? { file: photo.name, error: photo.error } : {
    file: photo.name,
    numbers: photo.items.filter((item) => Numbers.text(item) !== "").map((item) => ({
      text: Numbers.text(item), value: Numbers.value(Numbers.text(item)), confidence: item.byHand ? 1 : item.confidence, box: item.byHand ? null : item.box, line: item.byHand ? null : item.line, page: item.page,
      ...(Numbers.corrected(item) ? { read: item.text, corrected: true } : {}), ...(item.done ? { checked: true } : {}),
    })),
    digits: photo.answer.digits.map((digit, index) => ({ digit: digit.digit, character: Photos.typed(photo, index) ?? digit.character, confidence: digit.confidence, box: digit.box, line: digit.line, page: digit.page, rejected: digit.rejected })),
  }), null, 1);

  async function annotated(photo, page) {
    const image = await Photos.pictureOf(photo.frames[page] || photo.frames[0]), [w, h] = photo.answer.pages[page];
    const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight }), pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0);
    const kx = canvas.width / w, ky = canvas.height / h, unit = Math.max(1, canvas.width / 1000), digits = photo.answer.digits.map((digit, index) => [digit, index]).filter(([digit]) => digit.page === page);
    const frames = digits.map(([{ box: [l, t, r, b] }]) => [l * kx / unit - 3, t * ky / unit - 3, r * kx / unit + 3, b * ky / unit + 3]), taken = [...frames];
    pen.scale(unit, unit);
    digits.forEach(([digit, index], own) => {
      const over = Photos.typed(photo, index), sure = over !== undefined || (!digit.rejected && digit.confidence >= SURE), [l, t, r, b] = frames[own];
      pen.setLineDash([]);
      Object.assign(pen, { strokeStyle: "#fffc", lineWidth: 5 });
      pen.strokeRect(l, t, r - l, b - t);
      pen.setLineDash(sure ? [] : digit.rejected ? [2, 4] : [7, 4]);
      Object.assign(pen, { strokeStyle: sure ? BLUE : ORANGE, lineWidth: 2.2 });
      pen.strokeRect(l, t, r - l, b - t);
      const label = Labels.beside(frames[own], 1, taken, own), [x, y, right, bottom] = label.room;
      taken.push(label.room);
      pen.fillStyle = sure ? BLUE : ORANGE;
      pen.fillRect(x, y, right - x, bottom - y);
      Object.assign(pen, { fillStyle: "#fff", font: `700 ${label.size}px system-ui, sans-serif` });
      pen.fillText(over ?? digit.character, label.x, label.y);
    });
    return new Promise((done) => { canvas.toBlob(done, "image/png"); });
  }

  const stem = (name) => name.replace(/\.[^.]*$/, "") || "image";

  async function pictures(photos) {
    const files = [], used = new Set();
    for (const photo of photos.filter((one) => one.answer)) {
      for (let page = 0; page < photo.answer.pages.length; page++) {
        let name = stem(photo.name) + (photo.answer.pages.length > 1 ? `-${page + 1}` : "");
        for (let again = 2; used.has(name); again++) name = `${stem(photo.name)} (${again})`;
        used.add(name);
        files.push({ name: `${name}.png`, bytes: new Uint8Array(await (await annotated(photo, page)).arrayBuffer()) });
      }
    }
    if (files.length === 1) Numbers.save(files[0].name, new Blob([files[0].bytes], { type: "image/png" }));
    else Numbers.save("digitlab.zip", zip(files), "application/zip");
  }

  // ---- an archive whose files are only stored: PNG is packed already
  const TABLE = Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n >>> 0; });
  const crc = (bytes) => { let c = 0xffffffff; for (const byte of bytes) c = TABLE[(c ^ byte) & 255] ^ (c >>> 8); return (c ^ 0xffffffff) >>> 0; };
  const record = (...fields) => { const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0))); let at = 0; for (const [size, value] of fields) { if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true); at += size; } return new Uint8Array(view.buffer); };
  function zip(files) {
    const parts = [], central = [];
    let at = 0, size = 0;
    for (const { name, bytes } of files) {
      const letters = new TextEncoder().encode(name);
      // version, UTF-8 names, stored, no time (1 January 1980), checksum, size twice, length of the name, no extras
      const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc(bytes)], [4, bytes.length], [4, bytes.length], [2, letters.length], [2, 0]];
      const local = record([4, 0x04034b50], ...common), entry = record([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]);
      parts.push(local, letters, bytes);
      central.push(entry, letters);
      at += local.length + letters.length + bytes.length;
      size += entry.length + letters.length;
    }
    return new Blob([...parts, ...central, record([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0])], { type: "application/zip" });
  }

  async function save(kind, photos) {
    const name = photos.length === 1 ? stem(photos[0].name) : "numbers";
    if (kind === "csv") Numbers.save(`${name}.csv`, Numbers.csv(photos.flatMap((photo) => photo.items)), "text/csv");
    else if (kind === "json") Numbers.save(`${name}.json`, json(photos), "application/json");
    else await pictures(photos);
  }

  return { save };
})();
