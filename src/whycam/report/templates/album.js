// The gallery: test images with the verdict that the threshold gives them, picked by outcome and put in order.

const PAGE = 48;
const LABELS = { miss: "miss", "false-alarm": "false alarm", unsure: "unsure", right: "right" };
const EMPTY = {
  unsure: "No image is unsure at this threshold.",
  novel: "No image is novel.",
};

/** Fills the gallery; returns what brings it up to date with another threshold. */
function album(data, state) {
  const part = (name) => document.getElementById(`album-${name}`);
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const cards = new Map();
  let listed = [];
  let limit = PAGE;

  function outcomeOf({ place, p }) {
    const verdict = verdictAt(data, state.threshold, data.scores[place]);
    const anomalous = data.targets[place] > data.anomalousAbove;
    let outcome = "right";
    if (verdict === "unsure") outcome = "unsure";
    else if (anomalous !== (verdict === "anomalous")) outcome = anomalous ? "miss" : "false-alarm";
    return { verdict, outcome, label: LABELS[outcome], novel: p !== null && p <= data.novelLevel };
  }

  const open = closeUpDialog(data, outcomeOf);

  function picture(image) {
    return webp(image.closeUp && part("heat").checked ? image.closeUp.overlay : image.thumbnail);
  }

  function newCard(image) {
    const [item, button] = [document.createElement("li"), document.createElement("button")];
    button.type = "button";
    const img = document.createElement("img");
    img.alt = "";
    img.decoding = "async";
    img.src = picture(image);
    const [frame, tag, novel, score, name] = ["frame", "tag", "novel", "score", "name"].map((kind) => {
      const span = document.createElement("span");
      span.className = kind;
      return span;
    });
    frame.append(img);
    novel.textContent = "novel";
    novel.hidden = !outcomeOf(image).novel;
    score.textContent = `score ${number(data.scores[image.place])}`;
    // The close-up has the whole name; here its folders would push out of sight what tells images apart.
    name.textContent = image.file.split("/").pop();
    button.title = image.file;
    button.append(frame, tag, novel, score, name);
    button.addEventListener("click", () => open(listed, listed.indexOf(image), button));
    item.append(button);
    return { item, img, tag };
  }

  function card(image) {
    if (!cards.has(image.place)) cards.set(image.place, newCard(image));
    const { item, tag } = cards.get(image.place);
    const now = outcomeOf(image);
    if (item.className !== now.outcome) {
      tag.textContent = now.label;
      tag.className = `tag ${now.outcome}`;
      item.className = now.outcome;
    }
    return item;
  }

  const distance = (image) => Math.abs(data.scores[image.place] - state.threshold);
  const orders = {
    mistakes: (a, b) => a.rank - b.rank || (a.rank ? a.distance - b.distance : b.distance - a.distance),
    highest: (a, b) => b.score - a.score,
    lowest: (a, b) => a.score - b.score,
    nearest: (a, b) => a.distance - b.distance,
  };

  function show() {
    const counts = { all: data.images.length, miss: 0, "false-alarm": 0, unsure: 0, right: 0, novel: 0 };
    const filter = chosen("album-filter");
    const kept = [];
    for (const image of data.images) {
      const { outcome, novel } = outcomeOf(image);
      counts[outcome] += 1;
      counts.novel += novel;
      if (filter === "all" || filter === outcome || (filter === "novel" && novel)) {
        const rank = { miss: 0, "false-alarm": 0, unsure: 1, right: 2 }[outcome];
        kept.push({ image, rank, distance: distance(image), score: data.scores[image.place] });
      }
    }
    for (const [name, n] of Object.entries(counts)) part(`n-${name}`).textContent = count(n);
    kept.sort((a, b) => orders[part("order").value](a, b) || a.image.place - b.image.place);
    listed = kept.map(({ image }) => image);
    const wanted = listed.slice(0, limit).map(card);
    const list = part("cards");
    if (wanted.length !== list.children.length || wanted.some((item, at) => item !== list.children[at])) {
      list.replaceChildren(...wanted);
    }
    const left = listed.length - limit;
    part("more").hidden = left <= 0;
    part("more").textContent = `Show ${count(Math.min(left, PAGE))} more`;
    part("status").textContent = listed.length
      ? `${images(Math.min(limit, listed.length))} of ${count(listed.length)} shown.`
      : (EMPTY[filter] ?? "No image is one of these at this threshold.");
    for (const name of ["unsure", "novel"]) part(`no-${name}`).hidden = filter !== name || counts[name] > 0;
  }

  function showFirst() {
    limit = PAGE;
    show();
  }

  for (const input of document.querySelectorAll('input[name="album-filter"]')) {
    input.addEventListener("change", showFirst);
  }
  part("order").addEventListener("change", showFirst);
  part("heat").addEventListener("change", () => {
    for (const image of data.images) {
      if (cards.has(image.place)) cards.get(image.place).img.src = picture(image);
    }
  });
  part("more").addEventListener("click", () => {
    const next = limit;
    limit += PAGE;
    show();
    // The button may be gone, and whoever works by keyboard goes on with the first of the new images.
    part("cards").children[next].firstElementChild.focus();
  });
  return show;
}
