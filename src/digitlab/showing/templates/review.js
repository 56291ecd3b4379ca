
// The page that stands alone: its numbers are in it, and the corrected table goes out as a file.
(() => {
  let saved = "";
  Checklist.add(JSON.parse(document.getElementById("items").textContent));
  const table = () => Numbers.csv(Checklist.items);
  saved = table();
  document.getElementById("save").addEventListener("click", () => {
    saved = table();
    Numbers.save("numbers.csv", saved, "text/csv");
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { event.preventDefault(); document.getElementById("save").click(); }
  });
  window.addEventListener("beforeunload", (event) => { if (table() !== saved) event.preventDefault(); });
  Checklist.start();
})();
