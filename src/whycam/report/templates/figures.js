// What a threshold gives on the test images: counts, figures and costs. Numbers only; nothing here touches the page.

/** The test images as the script uses them; scores keep every bit that Python gave them. */
function decoded(content) {
  const floats = (text) => new Float64Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const scores = floats(content.scores);
  const targets = floats(content.targets);
  const ascending = (keep) => scores.filter((_, place) => keep(targets[place])).sort();
  return {
    ...content,
    scores,
    targets,
    normal: ascending((target) => target <= content.anomalousAbove),
    anomalous: ascending((target) => target > content.anomalousAbove),
  };
}

/** How many of the ascending `values` lie below `limit`. */
function below(values, limit) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The band of unsure scores at a threshold: the run's own while the threshold lies in it, none outside. */
function bandAt(data, threshold) {
  return data.band && data.band[0] <= threshold && threshold <= data.band[1] ? data.band : null;
}

function verdictAt(data, threshold, score) {
  const band = bandAt(data, threshold);
  if (band && band[0] <= score && score < band[1]) return "unsure";
  return score >= threshold ? "anomalous" : "normal";
}

/** The confusion matrix at a threshold, and how many in each of its cells are unsure. */
function countsAt(data, threshold) {
  const [low, high] = bandAt(data, threshold) ?? [threshold, threshold];
  const tn = below(data.normal, threshold);
  const fn = below(data.anomalous, threshold);
  return {
    tn,
    fn,
    fp: data.normal.length - tn,
    tp: data.anomalous.length - fn,
    unsure: {
      tn: tn - below(data.normal, low),
      fn: fn - below(data.anomalous, low),
      fp: below(data.normal, high) - tn,
      tp: below(data.anomalous, high) - fn,
    },
  };
}

/** A ratio, NaN exactly where its denominator is 0. */
function over(part, whole) {
  return whole > 0 ? part / whole : NaN;
}

/** Figures on the test images (`here`), and where the share `prevalence` of the images is anomalous (`there`). */
function figuresOf({ tn, fp, fn, tp }, { prevalence, miss, alarm }) {
  const rates = { tp: over(tp, tp + fn), fn: over(fn, tp + fn), fp: over(fp, fp + tn), tn: over(tn, fp + tn) };
  // A class that never comes up does not count, even where its rates are unknown.
  const weigh = (share, rate) => (share === 0 ? 0 : share * rate);
  const cells = {
    tp: weigh(prevalence, rates.tp),
    fn: weigh(prevalence, rates.fn),
    fp: weigh(1 - prevalence, rates.fp),
    tn: weigh(1 - prevalence, rates.tn),
  };
  const ratios = (c) => ({
    accuracy: over(c.tp + c.tn, c.tp + c.tn + c.fp + c.fn),
    precision: over(c.tp, c.tp + c.fp),
    f1: over(2 * c.tp, 2 * c.tp + c.fp + c.fn),
    alarms: 1000 * over(c.fp, c.tp + c.tn + c.fp + c.fn),
    misses: 1000 * over(c.fn, c.tp + c.tn + c.fp + c.fn),
    cost: 1000 * over(weigh(miss, c.fn) + weigh(alarm, c.fp), c.tp + c.tn + c.fp + c.fn),
  });
  const rated = { recall: rates.tp, false_alarm_rate: rates.fp };
  return { here: { ...rated, ...ratios({ tn, fp, fn, tp }) }, there: { ...rated, ...ratios(cells) } };
}

/** All thresholds that make a difference, ascending: each stands for those above `after` and up to `upTo`. */
function cuts(data) {
  const scores = Float64Array.from(data.scores).sort();
  const ends = scores.filter((score, at) => at === 0 || score !== scores[at - 1]);
  const [least, most] = [ends[0], ends[ends.length - 1]];
  const air = (most - least || 1) / 100;
  const lowest = data.probabilities ? Math.max(0, least - air) : least - air;
  const highest = data.probabilities && most < 1 ? Math.min(1, most + air) : most + air;
  return Array.from({ length: ends.length + 1 }, (_, at) => ({
    after: at ? ends[at - 1] : lowest,
    upTo: at < ends.length ? ends[at] : highest,
  }));
}

/** The threshold with the least expected cost, where costs are defined; of equals, the middle of the widest gap. */
function cheapest(data, wishes) {
  const priced = cuts(data).map((cut) => ({ ...cut, cost: figuresOf(countsAt(data, cut.upTo), wishes).there.cost }));
  const least = priced.reduce((lowest, cut) => Math.min(lowest, cut.cost), Infinity);
  let widest = null;
  let open = null;
  for (const cut of priced) {
    // Sums of costs that are equal but for rounding are ties, and cuts beside each other are one gap.
    const tied = cut.cost <= least + 1e-9 * Math.abs(least);
    if (tied && open) open.upTo = cut.upTo;
    else open = tied ? { ...cut } : null;
    if (open && (!widest || open.upTo - open.after > widest.upTo - widest.after)) widest = open;
  }
  return neat(widest.after, widest.upTo);
}

/** A number above `after` and up to `upTo`, near their middle, with as few digits as that takes. */
function neat(after, upTo) {
  for (let n = 1; n <= 17; n++) {
    const value = Number((after / 2 + upTo / 2).toPrecision(n));
    if (after < value && value <= upTo) return value;
  }
  return upTo;
}
