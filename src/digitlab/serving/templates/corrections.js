
// Where the server keeps corrections: each digit that was typed over goes there once it has stood for a moment.
(() => {
  const note = document.getElementById("kept");
  if (!note) return;
  const WAIT = 1500, sent = new Map(), waiting = new Map(); // by image: what it was last said to be
  let kept = 0;

  const tell = (words) => { note.textContent = words; };
  const key = (digit) => digit.glyph.join();

  async function send(source, entries) {
    try {
      const response = await fetch("corrections", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ images: entries.map(({ digit }) => rows(digit.glyph)), labels: entries.map(({ label }) => label), file: source.name }),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      for (const { digit, label } of entries) {
        if (label === null) sent.delete(key(digit));
        else sent.set(key(digit), label);
      }
      kept = sent.size;
      tell(kept ? `${kept} corrected digit${kept === 1 ? "" : "s"} kept in ${note.dataset.folder}.` : note.dataset.words);
    } catch (error) {
      tell(`Not kept: ${error.message}`);
    }
  }
  const rows = (glyph) => Array.from({ length: 28 }, (_, y) => [...glyph.slice(28 * y, 28 * y + 28)]);

  document.addEventListener("digitlab:corrected", ({ detail: { item, source } }) => {
    clearTimeout(waiting.get(item));
    waiting.set(item, setTimeout(() => {
      waiting.delete(item);
      const entries = [];
      for (const index of item.signs) {
        const digit = source.answer.digits[index], letter = Photos.typed(source, index);
        const label = /^[0-9]$/.test(letter ?? "") ? Number(letter) : null;
        if (label !== (sent.get(key(digit)) ?? null)) entries.push({ digit, label });
      }
      if (entries.length) send(source, entries);
    }, WAIT));
  });
})();
