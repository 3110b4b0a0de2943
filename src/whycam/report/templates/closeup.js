// One image at a time in a dialog: what it looks like, where it is hot, and how the evidence is shared out.

/** @param outcomeOf what an image's verdict comes to: {verdict, outcome, label, novel}. */
function closeUpDialog(data, outcomeOf) {
  const dialog = document.getElementById("close-up");
  const part = (name) => document.getElementById(`close-up-${name}`);
  let shown = [];
  let at = 0;
  let opener = null;

  function fact(name, text) {
    const [pair, term, meaning] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    meaning.textContent = text;
    pair.append(term, meaning);
    return pair;
  }

  function bar(name, share) {
    const [item, label, track, fill, text] = ["li", "span", "span", "span", "span"].map((tag) =>
      document.createElement(tag),
    );
    label.textContent = name;
    track.className = "track";
    fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
    text.className = "value";
    text.textContent = `${number(100 * share)} %`;
    track.append(fill);
    item.append(label, track, text);
    return item;
  }

  function evidence(closeUp) {
    const { regions, more, shareMore } = closeUp;
    const inside = regions.reduce((sum, region) => sum + region.share, shareMore);
    const bars = regions.map((region, place) => bar(`Segment ${place + 1}`, region.share));
    if (more) bars.push(bar(`${count(more)} smaller segment${more === 1 ? "" : "s"}`, shareMore));
    if (bars.length) bars.push(bar("Outside the segments", 1 - inside));
    part("bars").replaceChildren(...bars);
    part("no-segment").hidden = bars.length > 0;
    part("evidence-note").hidden = bars.length === 0;
  }

  function boxes(closeUp) {
    const [width, height] = closeUp.size;
    const svg = part("boxes");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const unit = Math.max(width, height) / 320;
    closeUp.regions.forEach(({ box: [left, top, right, bottom] }, place) => {
      const [x, y] = [left * width, top * height];
      const size = { x, y, width: (right - left) * width, height: (bottom - top) * height };
      shape("rect", { class: "halo", "stroke-width": 4 * unit, ...size }, svg);
      shape("rect", { class: "box", "stroke-width": 1.5 * unit, ...size }, svg);
      const inside = { x: Math.min(x, width - 16 * unit), y: Math.min(y, height - 18 * unit) };
      shape("rect", { class: "number", width: 16 * unit, height: 18 * unit, ...inside }, svg);
      const middle = { x: inside.x + 8 * unit, y: inside.y + 13.5 * unit, "font-size": 13 * unit };
      shape("text", { "text-anchor": "middle", ...middle }, svg).textContent = place + 1;
    });
  }

  function show() {
    const image = shown[at];
    const { closeUp, place, file, p } = image;
    const { verdict, outcome, label, novel } = outcomeOf(image);
    part("name").textContent = file;
    part("place").textContent = `${count(at + 1)} of ${count(shown.length)}`;
    part("tag").textContent = label;
    part("tag").className = `tag ${outcome}`;
    const facts = [
      fact("Score", number(data.scores[place])),
      fact("Verdict", verdict),
      fact("Target", grade(data.targets[place])),
    ];
    if (p !== null) {
      const meaning = novel ? `novel, at most ${number(data.novelLevel)}` : `not novel, above ${number(data.novelLevel)}`;
      facts.push(fact("Novelty p-value", `${number(p)} (${meaning})`));
    }
    part("facts").replaceChildren(...facts);
    part("heat").hidden = part("evidence").hidden = !closeUp;
    part("no-heat").hidden = Boolean(closeUp);
    part("image").src = webp(closeUp ? closeUp.image : image.thumbnail);
    part("image").alt = `The image ${file}`;
    if (closeUp) {
      part("overlay").src = webp(closeUp.overlay);
      part("overlay").alt = `Heatmap over ${file}`;
      boxes(closeUp);
      evidence(closeUp);
    }
    dialog.scrollTop = 0;
  }

  function move(by) {
    at = (at + by + shown.length) % shown.length;
    show();
  }

  part("previous").addEventListener("click", () => move(-1));
  part("next").addEventListener("click", () => move(1));
  part("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(by);
  });
  // Only the backdrop is the dialog itself: everything in it lies in its one child.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => opener?.focus());

  return (images, first, button) => {
    [shown, at, opener] = [images, first, button];
    show();
    dialog.showModal();
  };
}

function webp(text) {
  return `data:image/webp;base64,${text}`;
}
