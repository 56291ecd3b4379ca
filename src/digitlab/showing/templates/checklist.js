
// Numbers to look at, the doubtful ones first: each with its picture and a field; Enter confirms and goes on.
const Checklist = (() => {
  const ALLOWED = /^[0-9?/\-.,:+=]*$/, STEP = 100; // sure numbers shown at a time
  const todo = document.getElementById("todo"), rest = document.getElementById("rest"), sure = document.getElementById("sure");
  let items = [], shown = 0, focused = () => {}, changed = () => {};

  const doubtful = (item) => item.confidence < SURE || item.text.includes("?");
  const before = (a, b) => a.order[0] - b.order[0] || a.order[1] - b.order[1];

  // item: { file, page, line, text, value, confidence, box, order: [photo, number], crop: address of a picture or "" }
  function add(more) {
    for (const item of more) {
      Object.assign(item, { fixed: null, done: false, doubtful: doubtful(item) });
      items.push(item);
      if (item.doubtful) place(todo, item);
    }
    if (rest.open) fill();
    tell();
  }

  function clear() {
    items = [];
    shown = 0;
    todo.replaceChildren();
    sure.replaceChildren();
    rest.open = false;
    tell();
  }

  // A photo that is read again.
  function drop(photo) {
    for (const item of items) if (item.photo === photo && item.row) item.row.remove();
    items = items.filter((item) => item.photo !== photo);
    tell();
  }

  // In reading order; a row that comes later moves none that is being worked on out of its order.
  function place(list, item) {
    const rows = [...list.children], next = rows.find((row) => before(item, row.item) < 0);
    list.insertBefore(row(item), next || null);
  }

  function row(item) {
    const field = make("input", { type: "text", value: item.text, inputMode: "decimal", autocomplete: "off", spellcheck: false, size: 8 });
    field.setAttribute("aria-label", item.byHand ? `Missed number in ${item.file}` : `Number in ${item.file}, read as ${item.text}`);
    const where = make("span", { className: "where", textContent: item.file.split("/").pop(), title: item.file });
    const said = make("span", { className: "sure-words" });
    const picture = item.crop ? make("img", { src: item.crop, alt: "" }) : make("span", { className: "blank", textContent: item.byHand ? "not found" : "no image" });
    item.row = make("li", { className: "check-row" }, make("span", { className: "crop" }, picture), field, make("span", { className: "notes" }, said, where));
    Object.assign(item.row, { item });
    Object.assign(item, { field, said });
    field.addEventListener("focus", () => { field.select(); focused(item); });
    field.addEventListener("input", () => {
      field.setAttribute("aria-invalid", String(!ALLOWED.test(field.value.trim())));
      take(item, field.value.trim(), false);
    });
    field.addEventListener("keydown", (event) => key(event, item));
    picture.addEventListener("click", () => field.focus());
    look(item);
    return item.row;
  }

  function take(item, text, done) {
    if (!ALLOWED.test(text)) return;
    item.fixed = text === item.text ? null : text;
    item.done = done || item.done;
    look(item);
    tell();
    changed(item);
  }

  // From outside, such as a digit typed over on the photo.
  function correct(item, text) {
    if (item.field) item.field.value = text;
    take(item, text, true);
  }

  function look(item) {
    if (!item.row) return;
    const fixed = Numbers.corrected(item);
    item.row.classList.toggle("fixed", fixed);
    item.row.classList.toggle("done", item.done || fixed);
    item.said.textContent = item.byHand ? (fixed ? "added by hand" : "left out while empty") : fixed ? (item.fixed === "" ? `left out; read as ${item.text}` : `read as ${item.text}`)
      : item.done ? "confirmed" : item.text.includes("?") ? "partly refused" : `${percent(item.confidence)} sure`;
  }

  const rows = () => [...todo.children, ...(rest.open ? sure.children : [])];
  function key(event, item) {
    const back = event.key === "ArrowUp" || (event.key === "Enter" && event.shiftKey);
    if (event.key === "Enter" || event.key === "ArrowDown" || back) {
      if (event.key === "Enter" && item.field.getAttribute("aria-invalid") !== "true") take(item, item.field.value.trim(), true);
      const all = rows(), next = all[all.indexOf(item.row) + (back ? -1 : 1)];
      if (next) next.item.field.focus();
      else if (!back) document.getElementById("checked").focus();
    } else if (event.key === "Escape") {
      item.field.value = item.text;
      item.field.setAttribute("aria-invalid", "false");
      item.done = false;
      take(item, item.text, false);
      item.field.select();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function fill() {
    const all = items.filter((item) => !item.doubtful).sort(before);
    shown = Math.max(shown, STEP);
    for (const item of all.slice(0, shown)) if (!item.row) place(sure, item);
    document.getElementById("more").hidden = all.length <= shown;
  }
  rest.addEventListener("toggle", () => { if (rest.open) fill(); });
  document.getElementById("more").addEventListener("click", () => { shown += STEP; fill(); });

  function tell() {
    const open = items.filter((item) => item.doubtful), left = open.filter((item) => !item.done && !Numbers.corrected(item)).length;
    const changes = items.filter(Numbers.corrected).length, calm = items.length - open.length;
    const words = !items.length ? "No numbers yet." : !open.length ? `All ${items.length} numbers are sure.`
      : left ? `${left} of ${open.length} doubtful numbers to check` : `All ${open.length} doubtful numbers checked`;
    document.getElementById("checked").textContent = words + (changes ? `, ${changes} corrected.` : items.length && open.length ? "." : "");
    document.getElementById("calm").textContent = `${calm} sure number${calm === 1 ? "" : "s"}`;
    rest.hidden = !calm;
  }

  function start() {
    const first = rows().find((entry) => !entry.classList.contains("done")) || rows()[0];
    if (first) first.item.field.focus();
  }

  return {
    add, clear, drop, correct, start,
    get items() { return [...items].sort(before); },
    get left() { return items.filter((item) => item.doubtful && !item.done && !Numbers.corrected(item)).length; },
    set focused(call) { focused = call; },
    set changed(call) { changed = call; },
  };
})();
