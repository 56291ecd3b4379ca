
// Starting runs, and following them as they learn: each has a panel, fed by events from the server.
(() => {
  const $ = (id) => document.getElementById(id);
  const recipes = JSON.parse($("recipes").textContent), panels = new Map();
  const fail = (message) => { $("error").textContent = message || ""; $("error").hidden = !message; };

  async function post(what, task) {
    try {
      const response = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(task) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      fail("");
      return answer;
    } catch (error) {
      fail(error instanceof TypeError ? "The server does not answer. Is digitlab serve still running? A run that trains goes on without it." : error.message);
      return null;
    }
  }

  // ---- one run's panel
  const clock = (seconds) => (seconds >= 3600 ? `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}` : Math.floor(seconds / 60)) + `:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
  const figure = (title, words, ...nodes) => { const small = make("small", { textContent: words }); return Object.assign(make("figure", {}, make("figcaption", {}, title, small), ...nodes), { small }); };
  const svg = () => { const made = document.createElementNS("http://www.w3.org/2000/svg", "svg"); made.setAttribute("class", "curve"); return made; };

  function panel(name) {
    if (panels.has(name)) return panels.get(name);
    const p = { name, history: {}, live: null, epochs: 1, state: "" };
    p.title = make("h2", { textContent: name });
    p.about = make("p", { textContent: "" });
    p.stop = make("button", { type: "button", textContent: "Stop", hidden: true });
    p.resume = make("button", { type: "button", textContent: "Resume", hidden: true });
    p.close = make("button", { type: "button", textContent: "Hide" });
    p.bar = make("div", { className: "bar-line" }, make("i"));
    p.now = make("p", { className: "now" });
    p.now.setAttribute("role", "status");
    [p.loss, p.accuracy] = [svg(), svg()];
    p.confusion = make("table", { className: "confusions" });
    p.worst = make("div", { className: "worst" });
    p.units = make("div", { className: "units" });
    p.curves = make("div", { className: "two" }, figure("Loss", "how wrong it is; less is better", p.loss), figure("Accuracy", "share read correctly", p.accuracy));
    const key = make("p", { className: "key" });
    key.innerHTML = '<span><svg viewBox="0 0 26 8" class="curve"><path class="val" d="M1 4H25"/></svg>validation</span><span><svg viewBox="0 0 26 8" class="curve"><path class="fit" d="M1 4H25"/></svg>training</span>';
    p.after = make("div", { hidden: true });
    p.mistakes = figure("Where it errs", "", p.confusion);
    p.worsts = figure("Most certain mistakes", "what it is, and what it reads", p.worst);
    p.first = figure("What the first layer looks for", "blue: ink speaks for the unit; orange: against it", p.units);
    p.after.append(make("div", { className: "two" }, p.mistakes, p.worsts), p.first);
    p.node = make("article", { className: "run" }, make("header", {}, make("div", {}, p.title, p.about), make("div", { className: "acts" }, p.stop, p.resume, p.close)), p.bar, p.now, p.curves, key, p.after);
    p.node.dataset.run = name;
    p.stop.addEventListener("click", async () => { p.stop.disabled = true; await post("stop", { run: name }); p.stop.disabled = false; });
    p.resume.addEventListener("click", async () => { if (await post("resume", { run: name })) follow(name); });
    p.close.addEventListener("click", () => { p.source?.close(); panels.delete(name); p.node.remove(); places(); });
    panels.set(name, p);
    $("runs").prepend(p.node);
    places();
    draw(p);
    return p;
  }

  function places() {
    $("none").hidden = panels.size > 0;
    // The address names what is shown, so that loading it again shows the same.
    const query = [...panels.keys()].map((name) => `run=${encodeURIComponent(name)}`).join("&");
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    offer();
  }

  const WORDS = { starting: "starting…", build: "building the network…", data: "loading images…", judge: "judging on the test images…", save: "saving…", draw: "drawing the report…" };
  function draw(p) {
    const { live, history: h } = p, done = h.epoch?.length || 0, running = p.state === "training" || p.state === "starting";
    const share = p.state === "finished" ? 1 : running && live?.share ? Math.max(live.share, done / p.epochs) : done / p.epochs;
    p.bar.firstChild.style.setProperty("--p", `${100 * Math.min(1, share)}%`);
    p.stop.hidden = !running || !$("form");
    p.resume.hidden = running || !$("form") || p.state === "finished" || !p.state || p.state === "gone";
    const parts = [];
    const part = (label, value) => parts.push(make("span", {}, label, make("b", { textContent: value })));
    p.now.classList.toggle("done", p.state === "finished");
    if (p.state === "finished") {
      part("finished: ", p.test ? `${percent(p.test.accuracy)} of ${p.test.images.toLocaleString("en")} test images correct` : "yes");
      if (document.querySelector("nav a")) parts.push(make("a", { href: `../runs/${encodeURIComponent(p.name)}/report.html`, textContent: "report" }));
    } else if (running) {
      if (live?.stage === "train" && live.epochs) {
        part("epoch ", `${Math.min(live.epoch + 1, live.epochs)} of ${live.epochs}`);
        if (live.left !== null && live.left !== undefined) part("", `${clock(live.left)} left`);
        if (live.speed) part("", `${Math.round(live.speed).toLocaleString("en")} images/s`);
      } else parts.push(make("span", { textContent: WORDS[live?.stage] || WORDS.starting }));
    } else if (p.state) {
      part("", `${p.state} after epoch ${done} of ${p.epochs}`);
      if (live?.error) parts.push(make("span", { textContent: live.error }));
    }
    const last = h.val_accuracy?.filter((v) => v !== null).at(-1);
    if (last !== undefined && p.state !== "finished") part("validation ", percent(last));
    p.now.replaceChildren(...parts);
    const at = running && live?.stage === "train" && live.within < 1 && live.epoch === done ? done + live.within : null;
    const numbers = (list) => (list || []).map((v) => (v === null ? NaN : v));
    Curves.draw(p.loss, { fit: numbers(h.loss), val: numbers(h.val_loss), live: at === null ? null : [at, live.loss ?? NaN], epochs: p.epochs, share: false, name: "Loss" });
    Curves.draw(p.accuracy, { fit: numbers(h.accuracy), val: numbers(h.val_accuracy), live: at === null ? null : [at, live.accuracy ?? NaN], epochs: p.epochs, share: true, name: "Accuracy" });
  }

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  function picture(width, height, colour) {
    const canvas = make("canvas", { width, height }), context = canvas.getContext("2d"), data = context.createImageData(width, height);
    for (let i = 0; i < width * height; i++) data.data.set(colour(i), 4 * i);
    context.putImageData(data, 0, 0);
    return canvas;
  }

  function epoch(p, e) {
    p.after.hidden = false;
    const most = Math.max(1, ...e.confusion.flatMap((row, i) => row.filter((_, j) => i !== j)));
    const wrong = e.confusion.flatMap((row, i) => row.filter((_, j) => i !== j)).reduce((a, b) => a + b, 0);
    p.mistakes.small.textContent = `${wrong} of ${e.judged.toLocaleString("en")} ${e.of} images after epoch ${e.epoch}; a row is what it is, a column what it reads`;
    const head = make("tr", {}, make("th"), ...e.classes.map((name) => make("th", { scope: "col", textContent: name })));
    p.confusion.replaceChildren(head, ...e.confusion.map((row, i) => make("tr", {}, make("th", { scope: "row", textContent: e.classes[i] }), ...row.map((count, j) => {
      const cell = make("td", { textContent: count || "", className: i === j ? "right" : count / most > 0.6 ? "hot" : "", title: `${count} × ${e.classes[i]} read as ${e.classes[j]}` });
      if (i !== j && count) cell.style.setProperty("--heat", `${Math.round(15 + 80 * count / most)}%`);
      return cell;
    }))));
    p.worst.replaceChildren(...e.worst.map((one) => {
      const pixels = bytes(one.image), canvas = picture(28, 28, (i) => [pixels[i], pixels[i], pixels[i], 255]);
      const words = `${e.classes[one.label]} read as ${e.classes[one.read]}, ${percent(one.confidence)}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", words);
      return make("figure", { title: words }, canvas, make("span", { textContent: `${e.classes[one.label]} as ` }), e.classes[one.read]);
    }));
    p.worsts.hidden = !e.worst.length;
    p.first.hidden = !e.weights;
    if (e.weights) {
      const { width, height, pictures } = e.weights, dark = matchMedia("(prefers-color-scheme: dark)").matches, ground = dark ? [28, 32, 36] : [255, 255, 255];
      p.units.replaceChildren(...pictures.map((text, number) => {
        const values = new Int8Array(bytes(text).buffer), mix = (to, share) => ground.map((g, k) => g + share * (to[k] - g));
        const canvas = picture(width, height, (i) => [...mix(values[i] > 0 ? [0, 114, 190] : [213, 94, 0], Math.min(1, Math.abs(values[i]) / 90)), 255]);
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `weights of unit ${number + 1}`);
        return canvas;
      }));
    }
  }

  function follow(name) {
    const p = panel(name);
    p.source?.close();
    const source = p.source = new EventSource(`events?run=${encodeURIComponent(name)}`);
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      if (news.history) p.history = news.history;
      if (news.live) p.live = news.live;
      if (news.epochs) p.epochs = news.epochs;
      if (news.test) p.test = news.test;
      if (news.state) { p.state = news.state; refresh(); }
      if (news.recipe) p.about.textContent = `${news.recipe}: ${news.description}`;
      if (news.epoch) epoch(p, news.epoch);
      p.now.classList.remove("lost");
      draw(p);
    };
    source.addEventListener("end", () => source.close());
    // The browser asks again by itself; the run does not mind.
    source.onerror = () => { if (source.readyState !== EventSource.CLOSED) p.now.replaceChildren(make("span", { textContent: "The server does not answer; the run goes on without it. Trying again…" })); };
  }

  // ---- other runs to set beside
  let known = [];
  async function refresh() {
    try { known = await (await fetch("runs")).json(); } catch { return; }
    for (const run of known) if ((run.state === "training" || run.state === "starting") && !panels.has(run.name) && panels.size < 2) follow(run.name);
    offer();
  }
  function offer() {
    const others = known.filter((run) => !panels.has(run.name));
    $("pick").hidden = !others.length;
    $("beside").replaceChildren(make("option", { value: "", textContent: "another run…" }), ...others.map((run) => make("option", { value: run.name, textContent: `${run.name} (${run.state})` })));
  }
  $("beside").addEventListener("change", () => { if ($("beside").value) follow($("beside").value); });

  // ---- starting
  if ($("form")) {
    const fields = ["epochs", "batch_size", "peak_rate", "hidden", "seed"];
    const chosen = () => recipes.find((recipe) => recipe.name === $("recipe").value);
    const fill = () => {
      for (const name of fields) $(name).value = name === "hidden" ? chosen().hidden.join(", ") : chosen()[name];
    };
    $("recipe").addEventListener("change", fill);
    fill();
    $("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const changes = {};
      for (const name of fields) {
        const text = $(name).value.trim(), value = name === "hidden" ? text.split(/[\s,]+/).filter(Boolean).map(Number) : Number(text);
        if (String(value) !== String(chosen()[name])) changes[name] = value;
      }
      $("go").disabled = true;
      const answer = await post("start", { recipe: chosen().name, changes });
      $("go").disabled = false;
      if (answer) follow(answer.run);
    });
  }

  for (const name of new URLSearchParams(location.search).getAll("run")) follow(name);
  refresh();
  setInterval(refresh, 4000); // a run that somebody starts in a terminal
})();
