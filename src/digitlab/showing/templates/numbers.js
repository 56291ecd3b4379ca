"use strict";
// Small things that several pages share: nodes, percentages, numbers as rows of a spreadsheet, saving a file.
const make = (name, options = {}, ...children) => {
  const node = Object.assign(document.createElement(name), options);
  node.append(...children);
  return node;
};

const SURE = 0.9; // below it a number is doubtful

// In words at both ends: "3 > 99.9 %" reads as an inequality, and nothing is 100.0 % sure.
const percent = (p) => {
  if (p >= 0.9995) return "over\u00a099.9\u00a0%";
  return p < 0.0005 ? "under\u00a00.1\u00a0%" : `${Math.min(99.9, 100 * p).toFixed(1)}\u00a0%`;
};

const Numbers = (() => {
  const FIELDS = ["file", "page", "line", "number", "value", "confidence", "left", "top", "right", "bottom", "read"];

  // What a number is worth: the rules of digitlab.reading.numbers.value_of.
  function value(text) {
    if (/^[+-]?([0-9]+([.,][0-9]+)?|[.,][0-9]+)$/.test(text)) return Number(text.replace(",", "."));
    if (/^[+-]?[0-9]{1,3}([.][0-9]{3})+(,[0-9]+)?$/.test(text)) return Number(text.replaceAll(".", "").replace(",", "."));
    if (/^[+-]?[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?$/.test(text)) return Number(text.replaceAll(",", ""));
    return null;
  }

  // A spreadsheet takes a cell that begins like this for a formula and may run it; a signed number is harmless.
  const safe = (text) => (/^[=+\-@\t\r\n]/.test(text) && !/^[+-]?[0-9]+([.,][0-9]+)?$/.test(text) ? `'${text}` : text);
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

  const text = (item) => item.fixed ?? item.text;
  const corrected = (item) => item.fixed !== null && item.fixed !== item.text;

  // One row a number, in the columns of `digitlab read --numbers`, and what the network read where it was corrected.
  function csv(items) {
    const rows = items.filter((item) => text(item) !== "").map((item) => {
      const worth = value(text(item));
      const sure = corrected(item) || item.done ? 1 : item.confidence;
      return [safe(item.file), item.page, item.line, safe(text(item)), worth === null ? "" : worth, sure, ...item.box, corrected(item) ? safe(item.text) : ""];
    });
    return [FIELDS, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
  }

  function save(name, content, type) {
    const blob = content instanceof Blob ? content : new Blob([content], { type });
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  return { value, safe, text, corrected, csv, save };
})();
