// The threshold and the costs as their reader sets them; everything on the page that follows from them is told here.

const data = decoded(JSON.parse(document.getElementById("what-if-data").textContent));
const nTest = data.scores.length;
const state = { threshold: data.threshold, miss: 1, alarm: 1, prevalence: data.anomalous.length / nTest };
const part = (name) => document.getElementById(`what-if-${name}`);
const write = (name, text) => (part(name).textContent = text);

const scale = sliderScale(data);
const moveLine = drawScores(part("scores"), data, scale);
const movePoint = drawRoc(part("roc"), data);
const showAlbum = album(data, state);

function showCounts(counts) {
  const rows = [
    ["tn", "fp", data.normal.length],
    ["fn", "tp", data.anomalous.length],
  ];
  for (const [first, second, total] of rows) {
    for (const cell of [first, second]) {
      write(cell, count(counts[cell]));
      write(`${cell}-share`, total ? percentage(counts[cell] / total) : "no such image");
      const unsure = counts.unsure[cell];
      write(`${cell}-unsure`, unsure ? `${count(unsure)} of them unsure` : "");
    }
  }
}

function showFigures(counts) {
  const figures = figuresOf(counts, state);
  const plain = new Set(["f1", "alarms", "misses", "cost"]);
  for (const [where, values] of Object.entries(figures)) {
    for (const [name, value] of Object.entries(values)) {
      write(`${where}-${name}`, plain.has(name) ? number(value) : percentage(value));
    }
  }
  const own = figuresOf(countsAt(data, data.threshold), state).there.cost;
  write("own-cost", number(own));
  // Undefined at one threshold is undefined at all: a class is missing that the costs count.
  part("cheapest").disabled = Number.isNaN(own);
  write("prevalence-shown", percentage(state.prevalence));
}

/** Brings the page up to date; `typed` is the input that must not be written into while somebody types there. */
function show(typed = null) {
  const counts = countsAt(data, state.threshold);
  const alarms = `${count(counts.fp)} false alarm${counts.fp === 1 ? "" : "s"}`;
  const misses = `${count(counts.fn)} miss${counts.fn === 1 ? "" : "es"}`;
  const unsure = Object.values(counts.unsure).reduce((sum, n) => sum + n);
  const summary = `${alarms}, ${misses}${unsure ? `; ${count(unsure)} unsure` : ""}`;
  part("slider").value = scale.place(state.threshold);
  part("slider").setAttribute("aria-valuetext", `${number(state.threshold)}: ${summary}`);
  if (typed !== part("value")) {
    part("value").value = state.threshold;
    part("value").removeAttribute("aria-invalid");
  }
  write("summary", summary);
  write("command", `whycam evaluate RUN --threshold ${state.threshold}`);
  if (data.band) part("left-band").hidden = bandAt(data, state.threshold) !== null;
  showCounts(counts);
  showFigures(counts);
  moveLine(state.threshold);
  movePoint(state.threshold);
  showAlbum();
}

/** Takes a number as it is typed; what is no number, or out of range, is marked and changes nothing. */
function listen(name, { least = -Infinity, most = Infinity, take, empty }) {
  const input = part(name);
  input.addEventListener("input", () => {
    const left = input.value === "" && !input.validity.badInput;
    const value = left && empty !== undefined ? empty : input.valueAsNumber;
    const good = Number.isFinite(value) && value >= least && value <= most;
    input.setAttribute("aria-invalid", String(!good));
    if (!good) return;
    take(value);
    show(input);
  });
}

function set(threshold) {
  state.threshold = threshold;
  show();
}

for (const key of ["least", "most"]) part(key).textContent = number(scale.value(scale[key]));
part("wide").hidden = !scale.wide;
Object.assign(part("slider"), { min: scale.least, max: scale.most, step: scale.step });
part("slider").addEventListener("input", () => set(scale.value(part("slider").valueAsNumber)));
listen("value", { take: (value) => (state.threshold = value) });
listen("miss", { least: 0, take: (value) => (state.miss = value) });
listen("alarm", { least: 0, take: (value) => (state.alarm = value) });
const testShare = 100 * state.prevalence;
part("prevalence").value = number(testShare);
listen("prevalence", { least: 0, most: 100, empty: testShare, take: (value) => (state.prevalence = value / 100) });
part("cheapest").addEventListener("click", () => set(cheapest(data, state)));
part("own").addEventListener("click", () => set(data.threshold));
show();
for (const id of ["what-if", "what-if-link", "album"]) document.getElementById(id).hidden = false;
document.getElementById("still").hidden = true;
